"""What happens to the data of a server that keeps the state of workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from features.redis.address import redis_options
from leads.db.engine import unchecked_engine
from leads.settings import Settings


def server_of(settings: Settings) -> Any:
    """A client of the settings' Redis."""
    import redis

    assert settings.redis_url is not None
    return redis.Redis(**redis_options(settings.redis_url.get_secret_value()))


def execute(settings: Settings, *statements: str) -> None:
    """Execute SQL in the settings' database."""
    engine = unchecked_engine(settings)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def lose(settings: Settings) -> None:
    """Delete what the server has."""
    if settings.state_store == "redis":
        with server_of(settings) as server:
            server.flushall()
    else:
        execute(settings, "TRUNCATE fold_states, fold_values")


def lose_values(settings: Settings) -> None:
    """Delete values of the state, but not its position."""
    if settings.state_store == "redis":
        with server_of(settings) as server:
            server.hdel("leads:state:{0of1}", "view:item")
    else:
        execute(settings, "TRUNCATE fold_values")


def go_back(settings: Settings, to: int) -> None:
    """Give the server an older position, as an older copy of its data has."""
    if settings.state_store == "redis":
        with server_of(settings) as server:
            server.hset("leads:state:{0of1}", "position", to)
    else:
        execute(settings, f"UPDATE fold_states SET position = {to}")


def redis_snapshot(settings: Settings, names: str = "*") -> Callable[[], None]:
    """Copy the keys with such names; returns a function that puts the copy back in place of all keys."""
    with server_of(settings) as server:
        copy = {name: server.dump(name) for name in server.scan_iter(names)}

    def put_back() -> None:
        with server_of(settings) as server:
            server.flushall()
            for name, value in copy.items():
                server.restore(name, 0, value)

    return put_back


def snapshot(settings: Settings) -> Callable[[], None]:
    """Copy what the server has; returns a function that puts the copy back in place of what the server has then."""
    if settings.state_store == "redis":
        return redis_snapshot(settings, "leads:state:*")
    tables = ("fold_states", "fold_values")
    execute(settings, *(f"CREATE TABLE old_{table} AS TABLE {table}" for table in tables))
    return lambda: execute(
        settings, *(f"TRUNCATE {table}" for table in tables), *(f"INSERT INTO {t} TABLE old_{t}" for t in tables)
    )
