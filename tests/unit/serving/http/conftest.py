"""The HTTP API's tests run on each kind of database in turn."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from leads.settings import Settings


@pytest.fixture
def settings(any_settings: Settings) -> Settings:
    return any_settings


@pytest.fixture
def engine(any_engine: Engine) -> Engine:
    return any_engine
