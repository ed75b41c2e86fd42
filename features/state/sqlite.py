"""Keeps the state in an SQLite file: one table per view, keyed by the entity."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from features.sqlite_damage import is_damage
from features.state.sqlite_files import Checkpoints, set_up_writer
from features.state.store import FORMAT
from leads.errors import Unavailable
from leads.files import private_folder

# SQLite takes at most 32,766 variables in one statement; more than a few hundred don't make it faster.
_CHUNK = 500
# How many values a scan reads at a time.
_SCANNED = 2_000
_CACHE_KIB = 32 * 1024
# How many values are committed before a checkpoint.
_CHECKPOINT = 2_000
_POSITION = "position"


class SqliteState:
    """One connection, for one thread at a time. After a power cut, the last commits may be missing as a whole.

    Killing the process loses none.

    Args:
        path: the file; None keeps the state in memory.

    Raises:
        Unavailable: the file is damaged, or can't be written. Damage is noticed in the pages that are read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._checkpoints = Checkpoints(path, every=_CHECKPOINT) if path is not None else None
        if path is not None:
            private_folder(path.parent)
        try:
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
            set_up_writer(self._db, cache_kib=_CACHE_KIB)
            self._drop_other_formats()
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {_POSITION} (id INTEGER PRIMARY KEY, offset INTEGER)")
            self._views = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def position(self) -> int:
        try:
            row = self._db.execute(f"SELECT offset FROM {_POSITION}").fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        offset = row[0] if row else 0
        if not isinstance(offset, int) or offset < 0:
            raise self._damaged("its position is not a number")
        return offset

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

    def commit(self, position: int, changed: Mapping[str, Mapping[str, bytes]]) -> None:
        if self._checkpoints is not None:
            self._checkpoints.wait()
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                for view, rows in changed.items():
                    if view not in self._views:
                        self._db.execute(f'CREATE TABLE "{view}" (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID')
                    # In the order of the keys, neighbours are written to the same page.
                    self._db.executemany(f'REPLACE INTO "{view}" VALUES (?, ?)', sorted(rows.items()))
                self._db.execute(f"REPLACE INTO {_POSITION} VALUES (1, ?)", (position,))
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._views |= changed.keys()
        if self._checkpoints is not None:
            self._checkpoints.committed(sum(map(len, changed.values())))

    def scan(self, view: str) -> Iterator[dict[str, bytes]]:
        after: str | None = None
        while view in self._views:
            start = "" if after is None else "WHERE key > :after"
            try:
                found = self._db.execute(
                    f'SELECT key, value FROM "{view}" {start} ORDER BY key LIMIT :limit',
                    {"after": after, "limit": _SCANNED},
                ).fetchall()
            except sqlite3.Error as error:
                raise self._failed(error) from error
            if not found:
                return
            yield dict(found)
            after = found[-1][0]

    def close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.wait()
        self._db.close()

    def _drop_other_formats(self) -> None:
        """Empty a state whose values are stored in another form. The worker then folds the event log again."""
        if self._db.execute("PRAGMA user_version").fetchone()[0] == FORMAT:
            return
        for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            self._db.execute(f'DROP TABLE "{name}"')
        self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _damaged(self, what: object) -> Unavailable:
        return Unavailable(
            f"The worker's state file {self._path} is damaged ({what}).",
            field="LEADS_HOME",
            remedy=f"Stop the worker, delete {self._path}* and start it again: it then folds all events again. Or run:"
            " leads worker --rebuild --once",
        )

    def _failed(self, error: sqlite3.Error) -> Unavailable:
        # A table or column that is missing: another file or an old copy took the place of ours.
        if is_damage(error) or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            return self._damaged(error)
        return Unavailable(
            f"Can't use the worker's state file {self._path} ({error}).",
            field="LEADS_HOME",
            remedy="Check the folder's permissions and free space.",
        )
