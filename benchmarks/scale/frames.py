"""Joins point-in-time frames, in a process of its own, so that its memory can be measured. Prints one line of JSON.

Run: python -m benchmarks.scale.frames SIZE PAIRS
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import numpy as np
import sqlalchemy as sa

from benchmarks.memory import MemoryWatch
from benchmarks.scale import events
from benchmarks.timing import timed
from features.evaluate.columns import contract_for
from features.offline.frames import point_in_time
from leads.clock import Micros
from leads.db.engine import reading
from leads.events import ACCOUNT, Subject
from leads.settings import Settings, load_settings
from serving.worker.parts import database

_CREATED = sa.text(
    "SELECT subject_id, visible_at FROM events WHERE kind = 'item_created' AND kind <> 'played' "
    'AND "offset" >= :after ORDER BY "offset" LIMIT 1'
)


def drawn_pairs(settings: Settings, size: int, n: int) -> Iterator[tuple[Subject, Micros]]:
    """Random subjects of a log of this size, half of them accounts and half comments, each at a random instant.

    The instants of a comment are those after it was created.
    """
    rng = np.random.default_rng(5)
    accounts = (events.accounts_of(size) * rng.random(n // 2) ** 2).astype(int)
    for account, at in zip(accounts.tolist(), rng.integers(events.START, events.END, n // 2).tolist(), strict=True):
        yield Subject(ACCOUNT, f"a{account}"), at
    with database(settings) as engine, reading(engine) as connection:
        # The last created comment comes near the end, so this always finds one.
        for after in rng.integers(1, size * 99 // 100, n - n // 2).tolist():
            comment, created = connection.execute(_CREATED, {"after": after}).one()
            yield Subject("comment", comment), int(rng.integers(created, events.END))


def main(size: int, n: int) -> None:
    """Join `n` pairs, and report the time and the highest anonymous memory."""
    settings = load_settings()
    subjects, instants = zip(*drawn_pairs(settings, size, n), strict=True)
    at, contract, texts = np.array(instants, np.int64), contract_for(text=False), [None] * n
    watch = MemoryWatch()
    seconds = timed(lambda: point_in_time(settings, contract, subjects, texts, at))
    print(json.dumps({"s": seconds, "memory_mb": watch.stop()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
