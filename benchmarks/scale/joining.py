"""Joins the features of many labels on a home's platform, in a process of its own. Prints one line of JSON.

Run: python -m benchmarks.scale.joining LABELS
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from benchmarks.memory import MemoryWatch, anonymous_mb
from features.declared.generations import live_features
from features.evaluate.columns import contract_for
from features.layout import Instants
from features.offline.frames import point_in_time
from leads.db import event_log
from leads.db.engine import open_engine, reading
from leads.db.scans.rows import scan, text_of
from leads.events import ACCOUNT, Subject
from leads.settings import Settings, load_settings
from training.joining import join_features


def main(labels: int) -> None:
    """Report the seconds, and the highest anonymous memory in addition to the labels and their matrix."""
    settings = load_settings()
    features = live_features(settings)
    contract = contract_for(text=True, features=features)
    subjects, texts, as_of = _labels(settings, labels)
    # A small join first: the memory that the libraries take once doesn't depend on the labels.
    few = np.empty((100, len(contract.columns)), np.float32)
    join_features(settings, contract, subjects[:100], texts[:100], as_of[:100], features, frame=point_in_time, into=few)
    matrix = np.empty((labels, len(contract.columns)), np.float32)
    before, watch, began = anonymous_mb(), MemoryWatch(), time.perf_counter()
    join_features(settings, contract, subjects, texts, as_of, features, frame=point_in_time, into=matrix, tell=_say)
    seconds = time.perf_counter() - began
    matrix_mb = matrix.nbytes / 2**20
    print(json.dumps({"seconds": seconds, "matrix_mb": matrix_mb, "beyond_mb": watch.stop() - before - matrix_mb}))


def _labels(settings: Settings, n: int) -> tuple[list[Subject], list[str | None], Instants]:
    """Accounts and comments at random, with what the comments say, at random instants in ascending order."""
    engine = open_engine(settings)
    with reading(engine) as connection:
        head = event_log.head(connection)
    known: dict[Subject, str | None] = {}
    first = head.visible_at
    for row in scan(engine, ["item_created"], up_to=head.offset):
        first = min(first, row.visible_at)
        if row.type_id in (ACCOUNT, "comment"):
            known[row.subject] = text_of(row) or None
    engine.dispose()
    rng = np.random.default_rng(2)
    subjects = list(known)
    chosen = [subjects[i] for i in rng.integers(0, len(subjects), n).tolist()]
    return chosen, [known[subject] for subject in chosen], np.sort(rng.integers(first, head.visible_at, n))


def _say(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
