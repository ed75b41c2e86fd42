"""A service in this process: the HTTP stack over small real versions and an online store filled by the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import Engine

from leads.settings import Settings
from serving.runtime import Runtime
from tests.support.serving.world import make_runtime, publish


@pytest.fixture
def runtime(settings: Settings, engine: Engine) -> Iterator[Runtime]:
    """Serves `spam` and `stream_manipulation`, each in version 1."""
    publish(settings, "spam")
    publish(settings, "stream_manipulation")
    opened = make_runtime(settings, engine)
    yield opened
    opened.close()
