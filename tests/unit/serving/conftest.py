"""A service in this process: the HTTP stack over small real versions and an online store filled by the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from leads.settings import Settings
from serving.runtime import Runtime
from serving.scoring.planning import HarmPlanner
from tests.support.serving.world import make_runtime, publish


@pytest.fixture
def runtime(settings: Settings, engine: Engine) -> Iterator[Runtime]:
    """Serves `spam` and `stream_manipulation`, each in version 1."""
    publish(settings, "spam")
    publish(settings, "stream_manipulation")
    opened = make_runtime(settings, engine)
    yield opened
    opened.close()


@pytest.fixture
def scored_in(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads in which requests are scored, in order."""
    found: list[int] = []
    plan = HarmPlanner.plan

    def recorded(planner: HarmPlanner, *args: Any) -> Any:
        found.append(threading.get_ident())
        return plan(planner, *args)

    monkeypatch.setattr(HarmPlanner, "plan", recorded)
    return found
