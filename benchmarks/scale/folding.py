"""Folds the log of a home, in a process of its own, so that its memory can be measured. Prints one line of JSON.

Run: python -m benchmarks.scale.folding
"""

from __future__ import annotations

import json
import time
from contextlib import closing

from benchmarks.memory import MemoryWatch
from features.materialize import Materializer
from leads.db.engine import open_engine
from leads.settings import load_settings


def main() -> None:
    """Start, fold everything that is new, and report times and the highest anonymous memory."""
    settings = load_settings()
    watch = MemoryWatch()
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


if __name__ == "__main__":
    main()
