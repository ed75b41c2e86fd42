"""Random histories with ties, lateness and edits."""

from __future__ import annotations

import random

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
    """Events of all kinds; duplicates by id are left out, as the log does."""
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
