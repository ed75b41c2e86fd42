"""Folds the log of a home, in a process of its own, so that its memory can be measured. Prints one line of JSON.

Run: python -m benchmarks.scale.folding fold | share | score

`fold` folds everything that is new. `share` does the same for the first of many partitions, so that nearly all of its
time is what each partition does with every event: read and route it. `score` is a worker: it scores what it folds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import closing

from benchmarks.memory import MemoryWatch
from features.materialize import Materializer
from features.partition import WHOLE, Partition
from leads.db import cursors
from leads.settings import Settings, load_settings
from serving.worker.parts import database
from serving.worker.run import open_worker

PARTITIONS = 64


def fold(settings: Settings, partition: Partition = WHOLE) -> dict[str, float]:
    """Start, and fold everything that is new."""
    with database(settings) as engine:
        began = time.perf_counter()
        with closing(Materializer(settings, engine, partition=partition)) as materializer:
            started, first = time.perf_counter(), materializer.offset
            last = materializer.run_to_head()
            ended = time.perf_counter()
    return {"events": last - first, "start_s": started - began, "s": ended - started}


def share(settings: Settings) -> dict[str, float]:
    """The same for one of many partitions."""
    return fold(settings, Partition(0, PARTITIONS))


def score(settings: Settings) -> dict[str, float]:
    """Start a worker; let it fold and score everything that is new. What is folded already counts as scored."""
    began = time.perf_counter()
    with open_worker(settings, WHOLE, background=False, merging=False) as worker:
        first = worker.progress.offset
        with database(settings) as engine, engine.begin() as connection:
            cursors.move(connection, cursors.scored_name(WHOLE.index, WHOLE.count), first)
        started = time.perf_counter()
        done = worker.run_once()
        ended = time.perf_counter()
        if not (worker.has_models and done.scored):
            raise RuntimeError(f"Nothing was scored: {done}.")
    return {
        "events": done.offset - first,
        "start_s": started - began,
        "s": ended - started,
        "scored": done.scored,
        "opened": done.opened,
    }


WORK: dict[str, Callable[[Settings], dict[str, float]]] = {"fold": fold, "share": share, "score": score}


def main(work: str) -> None:
    """Do the work, and report times and the highest anonymous memory."""
    watch = MemoryWatch()
    found = WORK[work](load_settings())
    print(json.dumps({**found, "memory_mb": watch.stop()}))


if __name__ == "__main__":
    main(sys.argv[1])
