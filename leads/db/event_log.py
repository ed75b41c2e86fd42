"""The append-only event log. Everything else is derived from it.

Offsets and `visible_at` are assigned in commit order: an append locks the single row of `log_head` until it commits, so
a reader that has seen offset n never sees a smaller offset appear later. Appends therefore run one at a time; batch
events to append many. A sender's event ids are its own: see `leads.db.event_ids`.

A recorded history keeps its own `visible_at` only if no prediction was served after it. Otherwise, training would treat
its events as known to predictions that were served before they were appended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from leads import clock
from leads.clock import Clock, Micros
from leads.db.content.upkeep import keep_up
from leads.db.engine import insert_new, reading
from leads.db.event_ids import OWN_SENDER, Sent, unknown_among
from leads.db.progress.served import served_until
from leads.db.tables import NOT_A_PLAY, events, log_head
from leads.errors import Conflict, InvalidInput, together
from leads.events import Event, LoggedEvent, RecordedEvent, decode_event, encode

T = TypeVar("T")
MAX_CLOCK_SKEW: Micros = 5 * clock.MINUTE
_CHUNK = 5_000


class Head(NamedTuple):
    """The newest event's offset and time; zeros for an empty log."""

    offset: int
    visible_at: Micros


class LockedHead(NamedTuple):
    """Like `Head`, and the offset up to which `item_versions` is complete."""

    offset: int
    visible_at: Micros
    item_versions_to: int


class Moved(NamedTuple):
    """How many recorded events became visible later than their own `visible_at`, and why.

    Args:
        served: predictions dated after it had already been served.
        order: the log, or the file before them, had later events. Less than a second doesn't count.
    """

    served: int = 0
    order: int = 0


class Appended(NamedTuple):
    """The number of new events, the number of known ids, and the log's head now."""

    accepted: int
    duplicates: int
    head: Head


class AppendedHistory(NamedTuple):
    """Like `Appended`, and which recorded times were moved."""

    accepted: int
    duplicates: int
    head: Head
    moved: Moved


def append(
    connection: Connection,
    sender: str,
    new: Sequence[Event],
    *,
    untimed: Collection[str] = (),
    clock_: Clock = clock.now,
) -> Appended:
    """Append events in the caller's transaction; they are durable once it commits.

    An event that the sender has sent before is a duplicate and is left out.

    Args:
        untimed: ids of the events whose time the sender did not state.

    Raises:
        InvalidInput: an event's `occurred_at` is more than five minutes in the future.
        Conflict: the sender has used an id for another event. Nothing was appended.
    """
    _check_all(check_live, new, clock_())
    return _append(connection, sender, [(Sent(event, event.id not in untimed), None) for event in new], clock_)[0]


def append_own(connection: Connection, event: Event, *, clock_: Clock = clock.now) -> int:
    """Append one event that the platform makes, such as a decision; returns its offset.

    Raises:
        InvalidInput, Conflict: as `append`, and when the event is in the log already.
    """
    appended = append(connection, OWN_SENDER, [event], clock_=clock_)
    if not appended.accepted:
        raise Conflict(f"The event {event.id!r} is in the log already.", remedy="Read the current state and try again.")
    return appended.head.offset


def append_recorded(
    connection: Connection, sender: str, history: Sequence[RecordedEvent], *, clock_: Clock = clock.now
) -> AppendedHistory:
    """Append a recorded history. Each event keeps its own `visible_at`, unless the log or a prediction is later.

    Raises:
        InvalidInput: `visible_at` is before `occurred_at`, or in the future.
        Conflict: the sender has used an id for another event. Nothing was appended.
    """
    _check_all(check_recorded, history, clock_())
    new = [(Sent(record.event), record.visible_at) for record in history]
    appended, moved = _append(connection, sender, new, clock_)
    return AppendedHistory(*appended, moved)


def check_live(event: Event, at: Micros, field: str = "") -> None:
    """Raises InvalidInput with `field` when the event occurred more than five minutes after `at`."""
    if event.occurred_at > at + MAX_CLOCK_SKEW:
        raise InvalidInput(
            f"{clock.to_text(event.occurred_at)} is in the future.",
            field=f"{field}/occurred_at",
            remedy=f"The server's time is {clock.to_text(at)}; correct the sender's clock and send the event again.",
        )


def check_recorded(record: RecordedEvent, at: Micros, field: str = "") -> None:
    """Raises InvalidInput with `field` when `visible_at` is before `occurred_at`, or after `at`."""
    if record.visible_at > at + MAX_CLOCK_SKEW:
        raise InvalidInput(
            f"{clock.to_text(record.visible_at)} is in the future.",
            field=f"{field}/visible_at",
            remedy="Leave this time out for current events.",
        )
    if record.occurred_at > record.visible_at + MAX_CLOCK_SKEW:
        raise InvalidInput(
            "The event becomes visible before it occurs.",
            field=f"{field}/visible_at",
            remedy="Correct one of its two times.",
        )


def _check_all(check: Callable[[T, Micros, str], None], new: Sequence[T], at: Micros) -> None:
    errors = []
    for i, one in enumerate(new):
        try:
            check(one, at, f"/{i}")
        except InvalidInput as error:
            errors.append(error)
    if errors:
        raise together(errors)


def head(connection: Connection) -> Head:
    """The newest event's offset and time."""
    row = connection.execute(sa.select(log_head.c.offset, log_head.c.visible_at)).first()
    return Head(row.offset, row.visible_at) if row else Head(0, 0)


def read(engine: Engine, after: int, *, limit: int = 10_000) -> list[LoggedEvent]:
    """Up to `limit` events after offset `after`, in order."""
    query = (
        sa.select(events.c.offset, events.c.visible_at, events.c.raw)
        .where(events.c.offset > after)
        .order_by(events.c.offset)
        .limit(limit)
    )
    with reading(engine) as connection:
        # A worker reads every event: by position, a row's columns are read faster than by name.
        return [LoggedEvent(offset, at, decode_event(raw)) for offset, at, raw in connection.execute(query)]


def read_kind(engine: Engine, kind: str, *, up_to: Micros | None = None) -> Iterator[LoggedEvent]:
    """All events of one kind (not `played`) in order, streamed; with `up_to`, those visible by then."""
    conditions: list[sa.ColumnElement[bool] | sa.TextClause] = [events.c.kind == kind, NOT_A_PLAY]
    if up_to is not None:
        conditions.append(events.c.visible_at <= up_to)
    return _stream(engine, conditions)


def read_all(
    engine: Engine, *, after: int = 0, up_to: int | None = None, before: Micros | None = None
) -> Iterator[LoggedEvent]:
    """All events in order, streamed.

    Args:
        after: leave out events up to and including this offset.
        up_to: leave out events after this offset.
        before: leave out events that became visible at this instant or later.
    """
    conditions: list[sa.ColumnElement[bool]] = [events.c.offset > after]
    if up_to is not None:
        conditions.append(events.c.offset <= up_to)
    if before is not None:
        conditions.append(events.c.visible_at < before)
    return _stream(engine, conditions)


def _stream(engine: Engine, conditions: Sequence[sa.ColumnElement[bool] | sa.TextClause]) -> Iterator[LoggedEvent]:
    query = sa.select(events.c.offset, events.c.visible_at, events.c.raw).where(*conditions).order_by(events.c.offset)
    with reading(engine) as connection:
        for row in connection.execution_options(yield_per=_CHUNK).execute(query):
            yield logged_event(row)


def visible_at(connection: Connection, offset: int) -> Micros:
    """When the event at an offset became visible; 0 for offset 0."""
    return connection.execute(sa.select(events.c.visible_at).where(events.c.offset == offset)).scalar() or 0


def lock_head(connection: Connection) -> LockedHead:
    """Wait for other appends to finish and block new ones until the caller's transaction ends."""
    columns = (log_head.c.offset, log_head.c.visible_at, log_head.c.item_versions_to)
    lock = sa.update(log_head).values(id=log_head.c.id).returning(*columns)
    row = connection.execute(lock).first()
    if row is None:
        insert_new(connection, log_head, [{"id": 1, "offset": 0, "visible_at": 0}])
        row = connection.execute(lock).one()
    return LockedHead(*row)


def _append(
    connection: Connection, sender: str, new: Sequence[tuple[Sent, Micros | None]], clock_: Clock
) -> tuple[Appended, Moved]:
    """Append events with their recorded `visible_at`, or None for those that become visible now."""
    before = lock_head(connection)
    # Read after the lock was granted: while this append waited, others were appended and predictions were served.
    now = clock_()
    # No event may become visible before this time. A mark from a fast clock counts as now.
    served = min(served_until(connection), now)
    offset, visible_at = before.offset, before.visible_at
    rows, appended, moved = [], [], Moved()
    for i, hash_ in unknown_among(connection, sender, [sent for sent, _ in new]).items():
        sent, recorded = new[i]
        offset += 1
        if recorded is None:
            visible_at = max(visible_at + 1, now)
        else:
            visible_at = max(visible_at + 1, served + 1, recorded)
            moved = _count(moved, recorded, visible_at, served)
        rows.append(_row(sender, sent, hash_, offset, visible_at))
        appended.append(LoggedEvent(offset, visible_at, sent.event))
    if rows:
        connection.execute(sa.insert(events), rows)
        reached = keep_up(connection, appended, before=before.offset, complete_to=before.item_versions_to)
        new_head = {"offset": offset, "visible_at": visible_at, "item_versions_to": reached}
        connection.execute(sa.update(log_head).values(new_head))
    return Appended(len(rows), len(new) - len(rows), Head(offset, visible_at)), moved


def _count(moved: Moved, recorded: Micros, visible_at: Micros, served: Micros) -> Moved:
    if recorded <= served:
        return moved._replace(served=moved.served + 1)
    return moved._replace(order=moved.order + (visible_at - recorded >= clock.SECOND))


def _row(sender: str, sent: Sent, hash_: bytes, offset: int, visible_at: Micros) -> dict[str, Any]:
    event, subject = sent.event, sent.event.body.subject
    return {
        "offset": offset,
        "sender": sender,
        "id": event.id,
        "body_hash": hash_,
        "visible_at": visible_at,
        "kind": type(event.body).__struct_config__.tag,
        "type_id": subject.type_id,
        "subject_id": subject.id,
        "raw": encode(event),
    }


def logged_event(row: Row[Any, Any, Any]) -> LoggedEvent:
    """Decode a row with `offset`, `visible_at` and `raw`."""
    return LoggedEvent(row.offset, row.visible_at, decode_event(row.raw))
