"""The events of a platform of any size, and appending them to the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from benchmarks.report import say
from leads import clock
from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import open_engine
from leads.events import DecisionMade, ItemCreated, Played, RecordedEvent, SignalReceived, SubjectRef
from leads.settings import Settings

START = clock.from_text("2026-01-01T00:00:00Z")
# However many events there are, they span the same time: a larger log is that of a larger platform.
END = START + 60 * clock.DAY
# Events that come after a log, at the same pace whatever its size, so that only what is stored differs.
PACE = clock.SECOND
# One generated item in ten is a track, and the others are comments.
ITEMS_PER_TRACK = 10
_PER_APPEND = 5_000
_DRAWN_AT_ONCE = 100_000

Body = Played | ItemCreated | SignalReceived | DecisionMade


class Draw(NamedTuple):
    """What an event is about: `kind` from 0 to 1 says which kind it is.

    Args:
        item: the comment that is created.
        earlier: the comment that is reported or decided on.
    """

    kind: float
    account: int
    track: str
    item: str
    earlier: str


def history(size: int) -> Iterator[RecordedEvent]:
    """Plays, comments, reports and decisions, by as many accounts and about as many tracks as fit the size."""
    step = (END - START) / size
    for i, draw in enumerate(_draws(size, size, first=0)):
        at = START + int(i * step)
        yield RecordedEvent(f"e{i}", at, at, _body(draw))


def later(size: int, n: int) -> Iterator[RecordedEvent]:
    """The `n` events after that, by the same accounts and about the same tracks."""
    for i, draw in enumerate(_draws(size, n, first=size)):
        at = END + i * PACE
        yield RecordedEvent(f"e{size + i}", at, at, _body(draw))


def about(items: int, n: int, after: Micros, *, touched: int) -> Iterator[RecordedEvent]:
    """`n` events, each about a random one of some generated items.

    Args:
        touched: the number of these, spread evenly over all: with as many, the same work at any number of items.
    """
    rng = np.random.default_rng(6)
    accounts, step = max(n // 6, 100), items // touched
    numbers = zip(
        rng.random(n).tolist(),
        rng.integers(0, accounts, n).tolist(),
        (step * ITEMS_PER_TRACK * rng.integers(0, touched // ITEMS_PER_TRACK, n)).tolist(),
        (step * rng.integers(0, touched, n)).tolist(),
        strict=True,
    )
    for i, (kind, account, track, item) in enumerate(numbers):
        comment = item_id(item if item % ITEMS_PER_TRACK else item + 1)
        at = after + (i + 1) * PACE
        yield RecordedEvent(f"g{i}", at, at, _body(Draw(kind, account, item_id(track), comment, comment)))


def item_id(number: int) -> str:
    """Id of a generated item; ids sort like the numbers."""
    return f"g{number:09}"


def accounts_of(size: int) -> int:
    """The number of accounts in a log of this size: `a0` and so on, a few of which have most of the events."""
    return max(size // 60, 100)


def _draws(size: int, n: int, *, first: int) -> Iterator[Draw]:
    rng = np.random.default_rng(4 + first)
    accounts, tracks = accounts_of(size), max(size // 250, 50)
    for start in range(first, first + n, _DRAWN_AT_ONCE):
        some = min(_DRAWN_AT_ONCE, first + n - start)
        # A few accounts and tracks have most of the events, as on a real platform.
        who = (accounts * rng.random(some) ** 2).astype(int)
        what = (tracks * rng.random(some) ** 3).astype(int)
        for i, (kind, account, track) in enumerate(
            zip(rng.random(some).tolist(), who.tolist(), what.tolist(), strict=True), start
        ):
            yield Draw(kind, account, f"t{track}", f"c{i}", f"c{max(0, i - 7 * (track % 100))}")


def _body(draw: Draw) -> Body:
    earlier, account = SubjectRef("comment", draw.earlier), f"a{draw.account}"
    if draw.kind < 0.1:
        text = f"I have been listening to number {draw.track[1:]} all day, what a song"
        return ItemCreated(SubjectRef("comment", draw.item), account, SubjectRef("track", draw.track), text)
    if draw.kind < 0.14:
        return SignalReceived(earlier, "user_report", "app", reporter_id=account)
    if draw.kind < 0.15:
        return DecisionMade(earlier, "spam", "violating" if draw.account % 2 else "not_violating", "human", "rev-1")
    return Played(SubjectRef("track", draw.track), account, 33.0, f"d{draw.account * 5 // 6}")


def append(settings: Settings, events: Iterator[RecordedEvent], what: str) -> float:
    """Append events to the log; returns the seconds it took."""
    engine, done = open_engine(settings), 0
    began = time.perf_counter()
    while part := list(islice(events, _PER_APPEND)):
        with engine.begin() as connection:
            event_log.append_recorded(connection, "benchmark", part)
        done += len(part)
        if done % 250_000 == 0:
            say(f"{what}: {done:,} appended")
    engine.dispose()
    return time.perf_counter() - began
