"""Random histories of a platform with declared events: ties, late and early events, edits, moves, strange numbers."""

from __future__ import annotations

import random

from leads import clock
from leads.content import content_hash
from leads.events import (
    Body,
    ContentRef,
    DecisionMade,
    Event,
    FieldValue,
    Happened,
    ItemCreated,
    LoggedEvent,
    Played,
    SignalReceived,
    Subject,
    SubjectRef,
)
from tests.support.features.random_history import GAPS, LATENESS, START, TEXTS

NUMBERS = [0.0, 1.0, 1.0, 2.5, 30.0, 100.0, -3.0, -0.0, 12.0, 1e6, 16_777_217.0, 1e30, -1e25, 1e-50, -1e-50, 1e300]
SUBJECTS = [
    *(Subject("comment", f"c{i}") for i in range(4)),
    *(Subject("track", f"t{i}") for i in range(2)),
    *(Subject("account", f"a{i}") for i in range(4)),
    Subject("comment", "never"),
]
_VALUES: dict[str, list[FieldValue]] = {
    "amount": list(NUMBERS),
    "good": [True, False],
    "fresh": [True, False],
    "currency": ["usd", "eur", "a:b"],
    "ip": ["1.1", "2.2", "3.3"],
    # A field may have held something else before it was declared as it is now, and 80 may be written as 80.0.
    "port": [80.0, 80, 443.0, 0.0, -0.0, "8080"],
    "site": ["https://x.io/a", "https://y.io", f"https://y.io/{'é' * 2_000}"],
    "genre": ["pop", "news", "jazz"],
    "bpm": list(NUMBERS),
    "explicit": [True, False],
    "bio": ["x" * 300, "hello"],
}
_KINDS = {
    "tip": ("amount", "good", "currency"),
    "login": ("ip", "port", "fresh"),
    "gift": ("amount", "currency", "site"),
}


def history(rng: random.Random, n: int) -> list[LoggedEvent]:
    """Random events. Times of some are from before the newest, by up to a year."""
    gaps = rng.choice([GAPS, GAPS[:5], GAPS[:7]])
    lateness = rng.choice([[0], LATENESS, [*LATENESS, 86_400 * 365]])
    visible, logged = START, []
    for i in range(n):
        visible += 1 + rng.choice(gaps) * clock.SECOND
        event = Event(f"e{i}", visible - rng.choice(lateness) * clock.SECOND - rng.choice([0, 0, 400_000]), _body(rng))
        logged.append(LoggedEvent(i + 1, visible, event))
        if rng.random() < 0.05:
            # The same again, under another id.
            visible += 1
            logged.append(logged[-1]._replace(visible_at=visible))
    return [one._replace(offset=offset) for offset, one in enumerate(logged, 1)]


def _body(rng: random.Random) -> Body:
    account, track = f"a{rng.randrange(4)}", SubjectRef("track", f"t{rng.randrange(2)}")
    item = rng.choice([SubjectRef("comment", f"c{rng.randrange(4)}")] * 3 + [track])
    if rng.random() < 0.15:
        item = SubjectRef("account", account)
    kind = rng.random()
    if kind < 0.15:
        return Played(track, account, rng.choice([3, 30, 35.9, 36, 200]), rng.choice([None, "d0", "d1"]))
    if kind < 0.35:
        names = ("bpm", "bio") if item.type_id == "account" else ("genre", "bpm", "explicit")
        return ItemCreated(
            item,
            account_id=rng.choice([None, account]),
            parent=rng.choice([None, track, SubjectRef("track", "t1")]),
            text="" if item.type_id == "account" else rng.choice(TEXTS),
            fields=_fields(rng, names),
        )
    if kind < 0.45:
        return _signal(rng, item)
    if kind < 0.6:
        return _decision(rng, item)
    name = rng.choice(list(_KINDS))
    return Happened(item, name, rng.choice([None, account, account]), _fields(rng, _KINDS[name]))


def _fields(rng: random.Random, names: tuple[str, ...]) -> dict[str, FieldValue]:
    return {name: rng.choice(_VALUES[name]) for name in names if rng.random() < 0.8}


def _signal(rng: random.Random, item: SubjectRef) -> SignalReceived:
    what = rng.choice(["user_report", "user_report", "user_report", "trusted_flagger", "hash_match", "classifier"])
    reporter = rng.choice([None, f"a{rng.randrange(4)}"])
    return SignalReceived(item, what, "s", rng.choice([None, "spam"]), reporter, rng.choice([None, 0.1, 0.9]))


def _decision(rng: random.Random, item: SubjectRef) -> DecisionMade:
    verdict = rng.choice(["violating", "violating", "not_violating", "escalate"])
    content = rng.choice([None, None, ContentRef(1, content_hash(ItemCreated(item, text=rng.choice(TEXTS))))])
    return DecisionMade(item, "spam", verdict, rng.choice(["human", "automation"]), "r", content=content)
