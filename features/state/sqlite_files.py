"""How SQLite files with many small values in random order are read and written fast."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

# Memory-mapped reads skip a system call and a copy per page. This is the most that SQLite maps, and the kernel may
# take the memory for something else at any time.
MAPPED_BYTES = 0x7FFF0000
# From this size of the write-ahead log on, a commit copies it to the file itself: 256 MB.
_LARGE_LOG_PAGES = 1 << 16
# How long a pause is, and after how many times the rows a checkpoint doesn't wait for one.
_PAUSE_S, _OVERDUE = 0.02, 4


def set_up_writer(connection: sqlite3.Connection, *, cache_kib: int) -> None:
    """Set up a connection that writes; use `Checkpoints` with it."""
    for pragma in (
        "journal_mode = WAL",
        # Without a sync at each commit, a power cut can lose commits; killing the process can't.
        "synchronous = NORMAL",
        f"wal_autocheckpoint = {_LARGE_LOG_PAGES}",
        f"cache_size = -{cache_kib}",
        f"mmap_size = {MAPPED_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}")


class Checkpoints:
    """Copies what was committed to a file from its write-ahead log to the file itself, in the background.

    By default, SQLite does this within a commit, which then takes about twice as long, because a checkpoint waits twice
    until everything is on disk. Here it happens in the next pause between transactions, unless there is none for long.
    No transaction writes meanwhile, so that the next one starts the log again, and the log stays small.

    Args:
        every: the number of rows that are written before a checkpoint.
    """

    def __init__(self, path: Path, *, every: int) -> None:
        self._path = path
        self._every = every
        self._rows = 0
        self._next: threading.Timer | None = None

    def wait(self) -> None:
        """Call this before a transaction that writes: waits for the checkpoint that has begun, if one has."""
        if self._next is not None:
            self._next.cancel()
            self._next.join()
            self._next = None

    def committed(self, rows: int) -> None:
        """Call this after a transaction; `rows` is how many it wrote."""
        self._rows += rows
        if self._rows >= self._every:
            self._next = threading.Timer(0 if self._rows >= _OVERDUE * self._every else _PAUSE_S, self._run)
            # A slow disk doesn't keep the process from ending. A checkpoint may be interrupted.
            self._next.daemon = True
            self._next.start()

    def _run(self) -> None:
        self._rows = 0
        # If it fails, the rows are still in the log, where readers find them, and the next checkpoint includes them.
        with contextlib.suppress(sqlite3.Error):
            # Never creates the file: it may have been deleted meanwhile.
            uri = f"{self._path.absolute().as_uri()}?mode=rw"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
                db.execute("PRAGMA wal_checkpoint").fetchall()
