"""A log file that several processes write and any of them rotates, by size and by day.

Each process appends whole lines. Whoever finds the file too large, or last written on an earlier day, renames it under
a lock; the others notice within a second that its name leads to another file and open that. Lines written in between
are in the renamed file, so none is lost. `logrotate` may do the same from outside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from leads.files import in_turn, private_folder

_LOOK_S = 1.0
_DAY_S = 86_400
_STANDARD = (1, 2)


class LogFile:
    """A stream for one process's log. Not thread-safe; a logging handler uses it under its lock.

    Args:
        max_bytes: rotate when the file is larger; 0: never rotate.
        keep: how many rotated files to keep. With the current one, they take up (keep + 1) × max_bytes.
        redirected: descriptors that lead to the file too, so that what libraries print is rotated with the rest.
        timer: seconds since epoch.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        keep: int,
        redirected: Sequence[int] = _STANDARD,
        timer: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._lock = path.with_name(f".{path.name}.lock")
        self._max_bytes = max_bytes
        self._keep = keep
        self._redirected = redirected
        self._timer = timer
        self._look_at = 0.0
        self._day = -1
        self._file = self._open()

    def write(self, text: str) -> int:
        """Append a text; it isn't mixed with what other processes append at the same time."""
        now = self._timer()
        # The first line of a day looks first, because afterwards the file was written today.
        if now >= self._look_at or now // _DAY_S != self._day:
            self._look_at, self._day = now + _LOOK_S, int(now // _DAY_S)
            # The file may be on a full or read-only disk. It is better to write where it was than nowhere.
            with suppress(OSError):
                self._look(now)
        rest = memoryview(text.encode("utf-8", "replace"))
        while rest:
            rest = rest[os.write(self._file, rest) :]
        return len(text)

    def flush(self) -> None:
        """Does nothing: `write` doesn't keep anything."""

    def close(self) -> None:
        """Close the file. The redirected descriptors stay open."""
        os.close(self._file)

    def _open(self) -> int:
        private_folder(self._path.parent)
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for descriptor in self._redirected:
            os.dup2(file, descriptor)
        return file

    def _look(self, now: float) -> None:
        """Follow the file if it was renamed, and rotate it if it is due."""
        if not self._is_current():
            self._reopen()
        found = os.fstat(self._file)
        is_of_earlier_day = found.st_size and found.st_mtime // _DAY_S < now // _DAY_S
        if self._max_bytes and (found.st_size > self._max_bytes or is_of_earlier_day):
            with in_turn(self._lock):
                # Meanwhile, another process may have rotated it.
                if self._is_current():
                    self._path.rename(self._free_name(now))
                    self._delete_oldest()
            self._reopen()

    def _is_current(self) -> bool:
        """Whether the file's name still leads to the file that is open."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _reopen(self) -> None:
        before, self._file = self._file, self._open()
        os.close(before)

    def _free_name(self, now: float) -> Path:
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
        tails = ("", *(f".{n:03}" for n in range(1, 1_000)))
        paths = (self._path.with_name(f"{self._path.name}.{stamp}{tail}") for tail in tails)
        return next(path for path in paths if not path.exists())

    def _delete_oldest(self) -> None:
        rotated = sorted(self._path.parent.glob(f"{self._path.name}.[0-9]*"))
        for path in rotated[: max(0, len(rotated) - self._keep)]:
            path.unlink(missing_ok=True)
