"""Anonymous memory: what a process holds itself, without the files that it maps."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_EVERY_S = 0.05


class MemoryWatch:
    """Looks at a process's anonymous memory now and then, and keeps the highest.

    Args:
        pid: default: this process.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._pid = os.getpid() if pid is None else pid
        self._highest = 0.0
        self._ended = threading.Event()
        # A daemon, so that a process whose work fails still ends.
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The highest seen, in MB."""
        self._ended.set()
        self._thread.join()
        return max(self._highest, anonymous_mb(self._pid))

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._highest = max(self._highest, anonymous_mb(self._pid))


def anonymous_mb(pid: int | None = None) -> float:
    """The anonymous memory of a process in MB, by default of this one; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid or os.getpid()}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = next((line for line in lines if line.startswith("RssAnon")), "RssAnon: 0 kB")
    return int(found.split()[1]) / 1_024
