"""Reads Feast's SQLite store directly. Table `<project>_<view>` has one row for each entity and feature."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from features.feast.online_config import PROJECT
from features.feast.values import timestamp
from features.online.codec import Column, Wanted, entity_keys
from features.sqlite_damage import is_damage, online_store_damaged
from features.state.sqlite_files import MAPPED_BYTES
from leads.errors import Unavailable

_CHUNK = 1_000


class SqliteStore:
    """One read-only connection per thread."""

    # In WAL mode readers never wait for the writer.
    bounded = True

    def __init__(self, path: str, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    def get(self, wanted: Sequence[Wanted]) -> list[list[Column]]:
        try:
            connection = self._connection()
            # In one transaction, all rows are of one moment, and SQLite looks once for what the writer has committed.
            connection.execute("BEGIN")
            try:
                return [self._get(one) for one in wanted]
            finally:
                # Some errors have ended it already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if is_damage(error):
                raise online_store_damaged(self._path, error) from error
            raise Unavailable(
                "Can't read the SQLite online store.", field="LEADS_HOME", remedy="Run the worker: leads worker"
            ) from error

    def _get(self, wanted: Wanted) -> list[Column]:
        """One statement reads all features of an entity, so they come from the same write."""
        if wanted.timed:
            return self._get_timed(wanted)
        keys = entity_keys(wanted.layout.join_key, wanted.keys)
        found: list[list[bytes | None]] = [[] for _ in wanted.features]
        for chunk, rows in self._rows(wanted, keys):
            if len(wanted.features) == 1:
                stored = {key: value for key, _, value in rows}
                found[0] += map(stored.get, chunk)
            else:
                several = {(key, name): value for key, name, value in rows}
                for column, name in zip(found, wanted.features, strict=True):
                    column += [several.get((key, name)) for key in chunk]
        return [*found]

    def _get_timed(self, wanted: Wanted) -> list[Column]:
        """As `_get`, with event times. A view that nothing was written to may have no table yet."""
        keys = entity_keys(wanted.layout.join_key, wanted.keys)
        found: dict[bytes, dict[str, bytes | None]] = {}
        times: dict[bytes, int] = {}
        try:
            for _, rows in self._rows(wanted, keys):
                for key, name, value, at in rows:
                    found.setdefault(key, {})[name] = value
                    # A column that the view had before may have an older time.
                    times[key] = max(at, times.get(key, at))
        except sqlite3.OperationalError:
            if self._has_table(wanted.layout.table):
                raise
        entities = [found.get(key, {}) for key in keys]
        columns: list[Column] = [[entity.get(name) for entity in entities] for name in wanted.features]
        return [*columns, [timestamp(times[key]) if key in times else None for key in keys]]

    def _has_table(self, view: str) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._connection().execute(query, (f"{PROJECT}_{view}",)).fetchone() is not None

    def _rows(self, wanted: Wanted, keys: list[bytes]) -> Iterator[tuple[list[bytes], sqlite3.Cursor]]:
        """The rows that are stored for each chunk of keys."""
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            # SQLite keeps the compiled statements of a few lengths, so the list is filled up to one of them.
            filled = 1 << (len(chunk) - 1).bit_length()
            names = () if wanted.timed else wanted.features
            given = [*names, *chunk, *chunk[-1:] * (filled - len(chunk))]
            yield chunk, self._connection().execute(_query(wanted.layout.table, len(names), filled), given)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                f"{Path(self._path).absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=self._timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
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


@cache
def _query(table: str, features: int, entities: int) -> str:
    """The query for as many features of as many entities; 0 for all features, with their times."""
    names, keys = (", ".join("?" * count) for count in (features, entities))
    if features:
        where = f"feature_name IN ({names}) AND entity_key IN ({keys})"
        return f'SELECT entity_key, feature_name, value FROM "{PROJECT}_{table}" WHERE {where}'
    columns = "entity_key, feature_name, value, coalesce(event_us, event_ts * 1000000)"
    return f'SELECT {columns} FROM "{PROJECT}_{table}" WHERE entity_key IN ({keys})'
