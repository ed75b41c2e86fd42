"""The fold equals a slow recomputation from the events, on random histories with ties, lateness and edits."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from brute_force import expected
from folding import fold, values_of
from formulas import FORMULAS

from features.catalogue import STORED
from leads import clock
from leads.events import DecisionMade, Event, ItemCreated, LoggedEvent, Played, SignalReceived, Subject, SubjectRef

START = clock.from_text("2026-03-01T00:00:00Z")
LATENESS = [-120, 0, 0, 0, 1, 240, 3_000, 3_700, 90_000, 86_400 * 6, 86_400 * 40, 86_400 * 95]
GAPS = [0, 0, 1, 200, 1_200, 3_600, 30_000, 86_400, 86_400 * 9, 86_400 * 100]
TEXTS = ["hi", "", *(f"{a} my channel for free {b} http://x.io" for a in ("visit", "see") for b in ("beats", "coins"))]
SUBJECTS = [
    *(Subject("comment", f"c{i}") for i in range(6)),
    *(Subject("track", f"t{i}") for i in range(3)),
    *(Subject("account", f"a{i}") for i in range(5)),
]


def history(seed: int, n: int) -> list[LoggedEvent]:
    """Events of all kinds, some with the id of an earlier one: the log keeps such only once."""
    rng = random.Random(seed)
    gaps = rng.choice([GAPS, GAPS[:5], GAPS[:7]])
    visible, logged, ids = START, [], set()
    for i in range(n):
        visible += 1 + rng.choice(gaps) * clock.SECOND
        id_ = f"e{i}" if rng.random() > 0.05 else f"e{rng.randrange(i + 1)}"
        event = Event(id_, visible - rng.choice(LATENESS) * clock.SECOND, body(rng))
        if id_ not in ids:
            ids.add(id_)
            logged.append(LoggedEvent(len(logged) + 1, visible, event))
    return logged


def body(rng: random.Random) -> ItemCreated | Played | SignalReceived | DecisionMade:
    account, track = f"a{rng.randrange(5)}", SubjectRef("track", f"t{rng.randrange(3)}")
    item = SubjectRef("comment", f"c{rng.randrange(6)}")
    if rng.random() < 0.1:
        item = SubjectRef("account", account)
    kind = rng.random()
    if kind < 0.35:
        return Played(track, account, rng.choice([3, 30, 35.9, 36, 200]), rng.choice([None, "d0", "d1"]))
    if kind < 0.6:
        parent = rng.choice([None, track])
        return ItemCreated(item, account_id=rng.choice([None, account]), parent=parent, text=rng.choice(TEXTS))
    harm = rng.choice(["spam", "sexism"])
    if kind < 0.82:
        what = rng.choice(["user_report", "user_report", "user_report", "trusted_flagger", "hash_match", "classifier"])
        reporter = rng.choice([None, f"a{rng.randrange(5)}"])
        return SignalReceived(item, what, "s", rng.choice([None, harm]), reporter, rng.choice([None, 0.1, 0.9]))
    verdict = rng.choice(["violating", "violating", "not_violating", "escalate"])
    return DecisionMade(item, harm, verdict, rng.choice(["human", "automation"]), "r")


def compare(events: list[LoggedEvent], as_of: int) -> None:
    found = values_of(fold([logged for logged in events if logged.visible_at <= as_of]), SUBJECTS, as_of)
    for i, subject in enumerate(SUBJECTS):
        wanted = expected(events, subject, as_of)
        for j, feature in enumerate(STORED):
            value, right = float(found[i, j]), wanted[feature.name]
            assert value == pytest.approx(right, rel=2e-6, abs=1e-6, nan_ok=True), (feature.name, subject)


def test_the_brute_force_knows_every_stored_feature() -> None:
    assert list(FORMULAS) == [feature.name for feature in STORED]


@hypothesis_settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), n=st.integers(1, 60), later=st.sampled_from([0, 1, 299, 3_600, 80_000, 86_400 * 20]))
def test_the_fold_equals_a_recomputation(seed: int, n: int, later: int) -> None:
    events = history(seed, n)
    middle = events[len(events) // 2].visible_at
    compare(events, middle)
    compare(events, events[-1].visible_at + later * clock.SECOND)


def test_a_busy_history_too() -> None:
    events = history(5, 1_500)
    compare(events, events[-1].visible_at + 7 * clock.HOUR)


def test_histories_are_not_trivial() -> None:
    events = history(5, 1_500)
    found = values_of(fold(events), SUBJECTS, events[-1].visible_at)
    assert (np.nan_to_num(found) > 0).any(axis=0).mean() > 0.6
