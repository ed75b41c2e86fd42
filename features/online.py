"""The online reader: packed rows straight from the store's own layout, as numpy, in two round trips.

The first fetches the subjects' item rows with their links, the second the accounts and parents these name. Feast itself
is not imported. `docs/specs/online_store_format.md` in Feast's repository specifies the layouts.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from features.columns import missing
from features.fold import Links, links_of
from features.online_keys import entity_key
from features.rows import ACCOUNT, ITEM, LAYOUTS, PARENT, Instants, Layout, Matrix, visible_at
from features.segments import JOIN_KEYS, packed_name
from leads.errors import ConfigurationError, Unavailable
from leads.records import Subject
from leads.settings import Settings

PROJECT = "leads"
# Fields of the item view behind its packed row.
_LINK_FIELDS = ("item_account", "item_parent")
_SQLITE_VARIABLES = 30_000
_TIMEOUT_S = 2.0

# One entity's stored values in the order of the fields asked for; None where absent.
Values = tuple[bytes | None, ...]


@dataclass(frozen=True)
class Fetched:
    """What the store holds for n subjects.

    Args:
        packed: per view (n, width) float32, NaN rows where nothing is stored.
        row_at: (n, 3) µs, when the item, account and parent rows became visible; 0 where nothing is stored.
        links: who made each subject and what it hangs on.
    """

    packed: dict[str, Matrix]
    row_at: Instants
    links: list[Links]


class _Store(Protocol):
    """Reads entities of one or more views in one round trip."""

    def get(self, wanted: Sequence[tuple[Layout, Sequence[str]]]) -> list[list[Values]]: ...

    def close(self) -> None: ...


class OnlineReader:
    """Thread-safe. Blocks for at most about two seconds."""

    def __init__(self, store: _Store) -> None:
        self._store = store

    def fetch(self, subjects: Sequence[Subject], links: Sequence[Links | None] | None = None) -> Fetched:
        """The newest rows of the subjects, their accounts and parents.

        Args:
            subjects: n subjects; unknown ones give NaN rows.
            links: n links that the caller knows better than the store; None where it doesn't.

        Raises:
            Unavailable: the store doesn't answer.
        """
        packed = missing(len(subjects))
        (items,) = self._store.get([(ITEM, [subject.key for subject in subjects])])
        _unpack(packed[ITEM.view], ITEM, items, range(len(subjects)))
        found = []
        for i, (subject, values) in enumerate(zip(subjects, items, strict=True)):
            given = links[i] if links else None
            stored = Links(*(string_value(value) for value in values[1:]))
            found.append(given or links_of(subject, {subject.key: stored}))
        accounts = _distinct([link.account_id for link in found])
        parents = _distinct([link.parent_key for link in found])
        for layout, keys, values_of in zip(
            (ACCOUNT, PARENT),
            (accounts, parents),
            self._store.get([(ACCOUNT, list(accounts)), (PARENT, list(parents))]),
            strict=True,
        ):
            for rows, value in zip(keys.values(), values_of, strict=True):
                _unpack(packed[layout.view], layout, [value] * len(rows), rows)
        row_at = np.stack([visible_at(packed[layout.view]) for layout in LAYOUTS], axis=1)
        return Fetched(packed, row_at, found)

    def close(self) -> None:
        self._store.close()


def open_reader(settings: Settings) -> OnlineReader:
    """The direct reader for the settings' online store. It connects on the first read."""
    if settings.online_store == "redis":
        return OnlineReader(_RedisStore(redis_address(settings)))
    return OnlineReader(_SqliteStore(str(settings.features_dir / "online.db")))


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
    """The stored feature names of a view, the packed row first."""
    return (packed_name(layout.view), *(_LINK_FIELDS if layout is ITEM else ()))


class _SqliteStore:
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


class _RedisStore:
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


def string_value(raw: bytes | None) -> str | None:
    """The string in a serialised Feast `Value`; None when it holds none.

    Its wire form is the tag of `string_val`, 0x12, the length as a varint and the UTF-8 bytes.
    """
    if not raw or raw[0] != 0x12:
        return None
    start = 1
    while raw[start] & 0x80:
        start += 1
    return raw[start + 1 :].decode()


def _unpack(into: Matrix, layout: Layout, values: Sequence[Values], rows: Sequence[int] | range) -> None:
    """A `Value` that holds a float list ends with its packed floats; one of another length is not this layout's row."""
    size = 4 * layout.width
    for row, value in zip(rows, values, strict=True):
        raw = value[0]
        if raw is not None and size < len(raw) <= size + 12:
            into[row] = np.frombuffer(raw, dtype="<f4", offset=len(raw) - size)


def _distinct(keys: Sequence[str | None]) -> dict[str, list[int]]:
    """For each key the rows that need it."""
    rows: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        if key is not None:
            rows.setdefault(key, []).append(row)
    return rows
