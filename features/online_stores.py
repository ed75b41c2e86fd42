"""The online stores' own layouts, read directly: raw values by entity, as few round trips as possible.

Feast itself is not imported. `docs/specs/online_store_format.md` in Feast's repository specifies the layouts.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from features.online_keys import entity_key
from features.rows import LAYOUTS, Layout
from features.segments import JOIN_KEYS, packed_name
from leads.errors import ConfigurationError, Unavailable
from leads.settings import Settings

PROJECT = "leads"
_SQLITE_VARIABLES = 30_000
_TIMEOUT_S = 2.0

# One entity's stored values in the order of `fields`; None where absent.
Values = tuple[bytes | None, ...]


class Store(Protocol):
    """Reads entities of one or more views in one round trip."""

    def get(self, wanted: Sequence[tuple[Layout, Sequence[str]]]) -> list[list[Values]]: ...

    def close(self) -> None: ...


def open_online_store(settings: Settings) -> Store:
    """The direct reader of the settings' online store. It connects on the first read."""
    if settings.online_store == "redis":
        return RedisStore(redis_address(settings))
    return SqliteStore(str(settings.features_dir / "online.db"))


def redis_address(settings: Settings) -> str:
    """Raises ConfigurationError when Redis is asked for without an address."""
    if settings.redis_url is None:
        raise ConfigurationError(
            "LEADS_ONLINE_STORE is redis, but no address is given.",
            field="LEADS_REDIS_URL",
            remedy="For example LEADS_REDIS_URL=localhost:6379",
        )
    return settings.redis_url.get_secret_value()


def fields(layout: Layout) -> tuple[str, ...]:
    """The stored feature names of a view, the packed row first, then the links."""
    return (packed_name(layout.view), *layout.links)


class SqliteStore:
    """Table `<project>_<view>`: (entity_key, feature_name, value, …), a row per feature."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    def get(self, wanted: Sequence[tuple[Layout, Sequence[str]]]) -> list[list[Values]]:
        try:
            return [self._get(layout, keys) for layout, keys in wanted]
        except sqlite3.Error as error:
            raise Unavailable(
                "The SQLite online store can't be read.", field="LEADS_HOME", remedy="Run the worker: leads worker"
            ) from error

    def _get(self, layout: Layout, keys: Sequence[str]) -> list[Values]:
        names = fields(layout)
        encoded = [entity_key(JOIN_KEYS[layout.view], key) for key in keys]
        found: dict[bytes, dict[str, bytes]] = {}
        for start in range(0, len(encoded), _SQLITE_VARIABLES):
            chunk = encoded[start : start + _SQLITE_VARIABLES]
            marks = ",".join("?" * len(chunk))
            query = (
                f'SELECT entity_key, feature_name, value FROM "{PROJECT}_{layout.view}" WHERE entity_key IN ({marks})'
            )
            for key, name, value in self._connection().execute(query, chunk):
                found.setdefault(key, {})[name] = value
        nothing: dict[str, bytes] = {}
        return [tuple(found.get(key, nothing).get(name) for name in names) for key in encoded]

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                f"file:{self._path}?mode=ro",
                uri=True,
                timeout=_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
            self._local.connection = connection
            with self._lock:
                self._open.append(connection)
        return connection

    def close(self) -> None:
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
        self._local = threading.local()


class RedisStore:
    """One hash per entity: key = entity key + project; field = murmur3_32(`view:feature`), little endian."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = None
        self._fields: dict[str, list[bytes]] = {}

    def get(self, wanted: Sequence[tuple[Layout, Sequence[str]]]) -> list[list[Values]]:
        import redis

        project = PROJECT.encode()
        try:
            pipeline = self._connected().pipeline(transaction=False)
            for layout, keys in wanted:
                for key in keys:
                    pipeline.hmget(entity_key(JOIN_KEYS[layout.view], key) + project, self._fields[layout.view])
            answers = iter(pipeline.execute())
        except redis.RedisError as error:
            raise Unavailable(
                "The Redis online store doesn't answer.", field="LEADS_REDIS_URL", remedy="Check that it runs."
            ) from error
        return [[tuple(next(answers)) for _ in keys] for _, keys in wanted]

    def _connected(self) -> Any:
        if self._client is None:
            import mmh3
            import redis

            for layout in LAYOUTS:
                hashed = [mmh3.hash(f"{layout.view}:{name}", signed=False) for name in fields(layout)]
                self._fields[layout.view] = [struct.pack("<I", number) for number in hashed]
            self._client = redis.Redis(
                **redis_options(self._address), socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
            )
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def redis_options(address: str) -> dict[str, Any]:
    """`host:port[,name=value…]`, as Feast writes it, as arguments of `redis.Redis`.

    >>> redis_options("localhost:6379,db=1,ssl=true")
    {'host': 'localhost', 'port': 6379, 'db': 1, 'ssl': True}
    """
    options: dict[str, Any] = {}
    for part in address.split(","):
        name, is_option, value = part.partition("=")
        if is_option:
            options[name] = int(value) if value.isdecimal() else {"true": True, "false": False}.get(value, value)
        else:
            host, _, port = part.partition(":")
            options |= {"host": host, "port": int(port or 6379)}
    return options
