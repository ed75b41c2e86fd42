"""Settings for each state store, on a server of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leads.settings import Settings, load_settings

STATE_STORES = ["sqlite", "redis", pytest.param("postgresql", marks=pytest.mark.slow)]
SERVERS = STATE_STORES[1:]


def state_settings(home: Path, store: str, request: pytest.FixtureRequest, **more: Any) -> Settings:
    """Settings of a home whose workers keep their state in `store`; a PostgreSQL database has its tables."""
    if store == "postgresql":
        more["database_url"] = request.getfixturevalue("migrated_postgresql_url")
    if "redis" in (store, more.get("online_store")):
        more["redis_url"] = request.getfixturevalue("redis_address")
    return load_settings(home=home, corpora="", state_store=store, **more)
