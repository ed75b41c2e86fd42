"""What the event log holds of an hour: how many events of each kind and source, how late, and who was reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.event_ids import OWN_SENDER
from leads.db.scans.times import offset_before
from leads.db.tables import NOT_A_PLAY, events
from leads.events import Subject

SIGNAL = "signal_received"
# Kind of the event, and its source: of a signal, the source that it names; else the sender of its API key.
Feed = tuple[str, str]
Hours = npt.NDArray[np.float64]

# Events of each kind and sender whose delay is looked at.
_SAMPLE = 200
# Signals that are read one by one; of an hour with more, evenly spread ones.
_MOST_SIGNALS = 200_000
_MOST_NAMED = 5


class Reports(NamedTuple):
    """Users' reports of an hour under one harm. A reporter counts once for each subject.

    Args:
        pairs: number of (reporter, subject) pairs.
        most: the subjects with the most reporters, and how many each has, most first.
    """

    pairs: int
    most: tuple[tuple[Subject, int], ...]


@dataclass(frozen=True)
class EventHour:
    """The events that became visible in a span of time.

    Args:
        counts: number of events of each feed, without those that the platform makes itself.
        delays: for each source, hours from `occurred_at` to `visible_at` of a sample of its events, ascending.
        reports: by harm; reports without a harm are left out.
    """

    counts: Mapping[Feed, int] = field(default_factory=dict)
    delays: Mapping[str, Hours] = field(default_factory=dict)
    reports: Mapping[str, Reports] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class _Ref(msgspec.Struct):
    type_id: str
    id: str


class _Body(msgspec.Struct):
    subject: _Ref
    kind: str = ""
    source: str = ""
    harm: str | None = None
    reporter_id: str | None = None


class _Stored(msgspec.Struct):
    """The parts of an event that are looked at. It was validated when it was appended."""

    occurred_at: int
    body: _Body


class _Signal(NamedTuple):
    visible_at: Micros
    stored: _Stored


_decode = msgspec.json.Decoder(_Stored).decode


def read(connection: Connection, since: Micros, until: Micros) -> EventHour:
    """The events with since ≤ visible_at < until (µs)."""
    after, up_to = offset_before(connection, since), offset_before(connection, until)
    counts = _counts(connection, after, up_to)
    signals = list(_signals(connection, after, up_to, sum(n for (kind, _), n in counts.items() if kind == SIGNAL)))
    total_of_signals = sum(counts.pop(feed) for feed in [feed for feed in counts if feed[0] == SIGNAL])
    by_source = Counter(one.stored.body.source for one in signals)
    weight = total_of_signals / len(signals) if signals else 0.0
    counts.update({(SIGNAL, source): round(n * weight) for source, n in by_source.items()})
    return EventHour(counts, _delays(connection, after, up_to, signals), _reports(signals))


def hourly_counts(connection: Connection, since: Micros, until: Micros, *, most: int) -> dict[Micros, dict[Feed, int]]:
    """`EventHour.counts` of each whole hour in since ≤ hour < until, from the log's first event on.

    Args:
        most: at most so many events are read; the earliest hours are left out.
    """
    wanted, up_to = offset_before(connection, since), offset_before(connection, until)
    after = max(wanted, up_to - most)
    if not wanted or after > wanted:
        # The first hour that is whole.
        begins = sa.select(events.c.visible_at).where(events.c.offset > after).order_by(events.c.offset).limit(1)
        first = connection.execute(begins).scalar()
        since = until if first is None else max(since, -(-first // clock.HOUR) * clock.HOUR)
        after = offset_before(connection, since)
    found: dict[Micros, dict[Feed, int]] = {hour: {} for hour in range(since, until, clock.HOUR)}
    # Written out: PostgreSQL takes two parameters of the same value for two expressions.
    hour = events.c.visible_at // sa.literal_column(str(clock.HOUR), sa.BigInteger)
    query = (
        sa.select(hour, events.c.kind, events.c.sender, sa.func.count())
        .where(events.c.offset > after, events.c.offset <= up_to, events.c.sender != OWN_SENDER)
        .where(events.c.kind != SIGNAL)
        .group_by(hour, events.c.kind, events.c.sender)
    )
    for number, kind, sender, n in connection.execute(query):
        found[number * clock.HOUR][kind, sender] = n
    for visible_at, stored in _signals(connection, after, up_to, 0):
        counts, feed = found[visible_at // clock.HOUR * clock.HOUR], (SIGNAL, stored.body.source)
        counts[feed] = counts.get(feed, 0) + 1
    return found


def _counts(connection: Connection, after: int, up_to: int) -> dict[Feed, int]:
    query = (
        sa.select(events.c.kind, events.c.sender, sa.func.count())
        .where(events.c.offset > after, events.c.offset <= up_to, events.c.sender != OWN_SENDER)
        .group_by(events.c.kind, events.c.sender)
    )
    return {(kind, sender): n for kind, sender, n in connection.execute(query)}


def _signals(connection: Connection, after: int, up_to: int, n: int) -> Iterator[_Signal]:
    """The signals of a range of offsets; of more than `_MOST_SIGNALS`, an even part."""
    step = max(1, n // _MOST_SIGNALS)
    query = (
        sa.select(events.c.visible_at, events.c.raw)
        .where(events.c.kind == SIGNAL, NOT_A_PLAY, events.c.offset > after, events.c.offset <= up_to)
        .where(events.c.sender != OWN_SENDER)
        .order_by(events.c.offset)
    )
    if step > 1:
        query = query.where(events.c.offset % step == 0)
    for visible_at, raw in connection.execute(query):
        yield _Signal(visible_at, _decode(raw))


def _delays(connection: Connection, after: int, up_to: int, signals: list[_Signal]) -> dict[str, Hours]:
    # In an order that spreads the sample over the hour, the same each time.
    spread = (events.c.offset * 7_919) % 100_003
    place = sa.func.row_number().over(partition_by=(events.c.kind, events.c.sender), order_by=(spread, events.c.offset))
    within = (events.c.offset > after, events.c.offset <= up_to, events.c.kind != SIGNAL)
    placed = (
        sa.select(events.c.offset.label("at"), place.label("place"))
        .where(*within, events.c.sender != OWN_SENDER)
        .subquery()
    )
    query = (
        sa.select(events.c.sender, events.c.visible_at, events.c.raw)
        .join(placed, placed.c.at == events.c.offset)
        .where(placed.c.place <= _SAMPLE)
    )
    found: dict[str, list[float]] = {}
    for sender, visible_at, raw in connection.execute(query):
        found.setdefault(sender, []).append((visible_at - _decode(raw).occurred_at) / clock.HOUR)
    by_source: dict[str, list[float]] = {}
    for visible_at, stored in signals:
        by_source.setdefault(stored.body.source, []).append((visible_at - stored.occurred_at) / clock.HOUR)
    for source, delays in by_source.items():
        found.setdefault(source, []).extend(delays[:: max(1, len(delays) // _SAMPLE)])
    return {source: np.sort(np.array(delays)) for source, delays in sorted(found.items())}


def _reports(signals: list[_Signal]) -> dict[str, Reports]:
    reporters: dict[str, dict[Subject, set[str]]] = {}
    for _, stored in signals:
        body = stored.body
        if body.kind == "user_report" and body.harm is not None and body.reporter_id is not None:
            subject = Subject(body.subject.type_id, body.subject.id)
            reporters.setdefault(body.harm, {}).setdefault(subject, set()).add(body.reporter_id)
    found = {}
    for harm, by_subject in sorted(reporters.items()):
        counted = sorted(
            ((subject, len(who)) for subject, who in by_subject.items()), key=lambda one: (-one[1], one[0])
        )
        found[harm] = Reports(sum(n for _, n in counted), tuple(counted[:_MOST_NAMED]))
    return found
