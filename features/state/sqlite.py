"""Keeps the state in an SQLite file: one table per view, keyed by the entity."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from features.sqlite_damage import is_damage
from features.state.sqlite_files import MAPPED_BYTES, Checkpoints, set_up_writer
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
# A commit of this many values or more is written in the background.
_LARGE = 20_000
# How many values a statement writes, if as many are left. Between two statements, a thread in the background waits 5 ms
# for the interpreter.
_AT_ONCE = (2_000, 200, 20, 1)
_READER_CACHE_KIB = 2 * 1024
_POSITION = "position"


Changed = Mapping[str, Mapping[str, bytes]]


class _Commit(threading.Thread):
    """A commit that is being written in the background."""

    def __init__(self, changed: Changed, write: Callable[[], None]) -> None:
        super().__init__(name="state commit")
        self.changed = changed
        self.error: BaseException | None = None
        self._write = write
        self.start()

    def run(self) -> None:
        try:
            self._write()
        except BaseException as error:
            self.error = error


class SqliteState:
    """For one thread at a time. After a power cut, the last commits may be missing as a whole.

    Killing the process loses at most a large commit that is being written: `commit` returns before that is done. `get`
    then reads beside it, with a connection of its own. All other methods wait for it, and raise its error.

    Args:
        path: the file; None keeps the state in memory.

    Raises:
        Unavailable: the file is damaged, or can't be written. Damage is noticed in the pages that are read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._committing: _Commit | None = None
        self._reader: sqlite3.Connection | None = None
        self._checkpoints = Checkpoints(path, every=_CHECKPOINT) if path is not None else None
        if path is not None:
            private_folder(path.parent)
        try:
            self._db = self._connect()
            set_up_writer(self._db, cache_kib=_CACHE_KIB)
            self._drop_other_formats()
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {_POSITION} (id INTEGER PRIMARY KEY, offset INTEGER)")
            self._views = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def position(self) -> int:
        self._settle()
        try:
            row = self._db.execute(f"SELECT offset FROM {_POSITION}").fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        offset = row[0] if row else 0
        if not isinstance(offset, int) or offset < 0:
            raise self._damaged("its position is not a number")
        return offset

    def get(self, view: str, keys: Sequence[str]) -> dict[str, bytes]:
        committing = self._committing
        if committing is None or not committing.is_alive():
            self._settle()
            return self._read(self._db, view, keys)
        newer = committing.changed.get(view, {})
        found = {key: newer[key] for key in keys if key in newer}
        if self._reader is None:
            self._reader = self._connect()
            self._reader.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
            self._reader.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
        return found | self._read(self._reader, view, [key for key in keys if key not in newer])

    def commit(self, position: int, changed: Changed) -> None:
        self._settle()
        if self._path is not None and sum(map(len, changed.values())) >= _LARGE:
            self._committing = _Commit(changed, lambda: self._write(position, changed))
        else:
            self._write(position, changed)

    def scan(self, view: str) -> Iterator[dict[str, bytes]]:
        self._settle()
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
        with contextlib.closing(self._db):
            if self._reader is not None:
                self._reader.close()
            try:
                self._settle()
            finally:
                if self._checkpoints is not None:
                    self._checkpoints.wait()

    def _settle(self) -> None:
        """Wait for the commit that is being written, and raise its error."""
        committing, self._committing = self._committing, None
        if committing is not None:
            committing.join()
            if committing.error is not None:
                raise committing.error

    def _read(self, db: sqlite3.Connection, view: str, keys: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        if view not in self._views:
            return found
        try:
            for start in range(0, len(keys), _CHUNK):
                chunk = keys[start : start + _CHUNK]
                marks = ", ".join("?" * len(chunk))
                found.update(db.execute(f'SELECT key, value FROM "{view}" WHERE key IN ({marks})', chunk))
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return found

    def _write(self, position: int, changed: Changed) -> None:
        if self._checkpoints is not None:
            self._checkpoints.wait()
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                for view, rows in changed.items():
                    if view not in self._views:
                        self._db.execute(f'CREATE TABLE "{view}" (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID')
                    self._put(view, rows)
                self._db.execute(f"REPLACE INTO {_POSITION} VALUES (1, ?)", (position,))
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._views |= changed.keys()
        if self._checkpoints is not None:
            self._checkpoints.committed(sum(map(len, changed.values())))

    def _put(self, view: str, rows: Mapping[str, bytes]) -> None:
        # In the order of the keys, neighbours are written to the same page.
        ordered = sorted(rows.items())
        done = 0
        for size in _AT_ONCE:
            values = ", ".join(["(?, ?)"] * size)
            while len(ordered) - done >= size:
                some = chain.from_iterable(ordered[done : done + size])
                self._db.execute(f'REPLACE INTO "{view}" VALUES {values}', tuple(some))
                done += size

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False)

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
