"""Keeps the state in an SQLite file: one table per view, keyed by the entity."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from leads.errors import Unavailable
from leads.files import private_folder

# SQLite takes at most 32,766 variables in one statement; more than a few hundred don't make it faster.
_CHUNK = 500
_CACHE_KIB = 32 * 1024
_POSITION = "position"


class SqliteState:
    """One connection. After a power cut, the last commits may be missing as a whole; killing the process loses none.

    Args:
        path: the file; None keeps the state in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        if path is not None:
            private_folder(path.parent)
        try:
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {_POSITION} (id INTEGER PRIMARY KEY, offset INTEGER)")
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._views = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def position(self) -> int:
        row = self._db.execute(f"SELECT offset FROM {_POSITION}").fetchone()
        return int(row[0]) if row else 0

    def get(self, view: str, keys: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        if view not in self._views:
            return found
        try:
            for start in range(0, len(keys), _CHUNK):
                chunk = keys[start : start + _CHUNK]
                marks = ", ".join("?" * len(chunk))
                found.update(self._db.execute(f'SELECT key, value FROM "{view}" WHERE key IN ({marks})', chunk))
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return found

    def commit(self, position: int, changed: Mapping[str, Iterable[tuple[str, bytes]]]) -> None:
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                for view, rows in changed.items():
                    if view not in self._views:
                        self._db.execute(f'CREATE TABLE "{view}" (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID')
                    self._db.executemany(f'REPLACE INTO "{view}" VALUES (?, ?)', rows)
                self._db.execute(f"REPLACE INTO {_POSITION} VALUES (1, ?)", (position,))
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._views |= changed.keys()

    def close(self) -> None:
        self._db.close()

    def _failed(self, error: sqlite3.Error) -> Unavailable:
        return Unavailable(
            f"Can't use the worker's state file {self._path} ({error}).",
            field="LEADS_HOME",
            remedy="Check the folder's permissions and free space.",
        )
