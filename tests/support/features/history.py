"""A random history with lateness, ties and silent accounts, and ways to read its features."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq
from sqlalchemy.engine import Engine

from features.declared.builtin import LAYOUTS
from features.evaluate.columns import contract_for, evaluate
from features.offline.segments import Segments
from features.online.reader import open_reader
from features.partition import Partition
from leads import clock
from leads.db import event_log
from leads.events import DecisionMade, ItemCreated, Played, RecordedEvent, SignalReceived, Subject, SubjectRef
from leads.settings import Settings

START = clock.from_text("2026-03-01T00:00:00Z")
TEXTS = ["hello", *(f"look at this wonderful offer number {word} on my page" for word in ("one", "two", "six"))]
CONTRACT = contract_for(text=False)
SUBJECTS = (
    [Subject("comment", f"c{i}") for i in range(0, 10_000, 37)]
    + [Subject("track", f"t{i}") for i in range(100)]
    + [Subject("account", f"a{i}") for i in range(400)]
)


def history(n: int, *, seed: int = 7, days: float = 9.0) -> Iterator[RecordedEvent]:
    """`n` events over `days`, some late by up to two days, with ties; accounts a300… stop early."""
    rng = random.Random(seed)
    step = int(days * clock.DAY / n)
    for i in range(n):
        visible = START + (i // 4) * 4 * step + i % 4
        late = rng.choice([0, 0, 0, 0, 3, 600, 7_200, 172_800]) * clock.SECOND if rng.random() < 0.4 else 0
        accounts = 400 if i < n // 4 else 300
        track = SubjectRef("track", f"t{rng.randrange(100)}")
        comment = SubjectRef("comment", f"c{rng.randrange(i + 1)}")
        account = f"a{rng.randrange(accounts)}"
        kind = rng.random()
        body: ItemCreated | Played | SignalReceived | DecisionMade
        if kind < 0.15:
            body = ItemCreated(SubjectRef("comment", f"c{i}"), account_id=account, parent=track, text=rng.choice(TEXTS))
        elif kind < 0.25:
            what = rng.choice(["user_report", "user_report", "hash_match", "trusted_flagger", "classifier"])
            reporter = f"a{rng.randrange(40)}" if what == "user_report" else None
            body = SignalReceived(comment, what, "app", reporter_id=reporter, score=rng.choice([0.25, 0.75]))
        elif kind < 0.28:
            body = DecisionMade(comment, "spam", rng.choice(["violating", "not_violating"]), "human", "r1")
        else:
            body = Played(track, account, rng.choice([4.0, 33.0, 180.0]), f"d{rng.randrange(200)}")
        yield RecordedEvent(f"e{i}", visible - late, visible, body)


def log_history(engine: Engine, n: int) -> int:
    """Append a history; returns when its newest event became visible."""
    events = list(history(n))
    with engine.begin() as connection:
        return event_log.append_recorded(connection, "test", events).head.visible_at


def served(settings: Settings, as_of: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and row times as serving reads them now, evaluated at `as_of`."""
    reader = open_reader(settings)
    try:
        fetched = reader.fetch(SUBJECTS)
    finally:
        reader.close()
    n = len(SUBJECTS)
    return evaluate(CONTRACT, fetched.packed, np.full(n, as_of), [None] * n).matrix, fetched.row_at


def assert_served_alike(settings: Settings, other: Settings, head: int) -> None:
    """Assert that both homes serve the same rows, at the head and later."""
    for as_of in (head, head + 3 * clock.HOUR, head + 5 * clock.DAY):
        matrix, row_at = served(settings, as_of)
        expected, expected_at = served(other, as_of)
        np.testing.assert_array_equal(matrix, expected)
        np.testing.assert_array_equal(row_at, expected_at)


def segment_rows(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    """Every stored row of each view, in order."""
    shares = [Partition(i, settings.partitions) for i in range(settings.partitions)]
    manifests = [Segments(settings.features_dir / "segments", share).manifest() for share in shares]
    rows: dict[str, list[tuple[object, ...]]] = {}
    for layout in LAYOUTS:
        found: list[tuple[object, ...]] = []
        for name in [name for manifest in manifests for name in manifest.segments.get(layout.view, ())]:
            table = pq.read_table(settings.features_dir / "segments" / layout.view / name)
            columns = [table[column].to_pylist() for column in ("offset", layout.join_key, layout.packed_name)]
            found += list(zip(*columns, strict=True))
        rows[layout.view] = sorted(found)
    return rows
