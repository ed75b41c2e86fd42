"""Folds the log of a home, in a process of its own, so that its memory can be measured. Prints one line of JSON.

Run: python -m benchmarks.scale.folding
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from pathlib import Path

from features.materialize import Materializer
from leads.db.engine import open_engine
from leads.settings import load_settings

_EVERY_S = 0.05


def main() -> None:
    """Start, fold everything that is new, and report times and the highest anonymous memory."""
    settings = load_settings()
    watch = _Memory()
    engine = open_engine(settings)
    began = time.perf_counter()
    with closing(Materializer(settings, engine)) as materializer:
        started = time.perf_counter()
        first = materializer.offset
        last = materializer.run_to_head()
        ended = time.perf_counter()
    print(
        json.dumps(
            {
                "events": last - first,
                "start_s": started - began,
                "fold_s": ended - started,
                "memory_mb": watch.stop(),
            }
        )
    )


class _Memory:
    """Looks at this process's anonymous memory now and then, and keeps the highest."""

    def __init__(self) -> None:
        self._highest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> float:
        """The highest seen, in MB."""
        self._ended.set()
        self._thread.join()
        return self._highest

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._highest = max(self._highest, _anonymous_mb())


def _anonymous_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


if __name__ == "__main__":
    main()
