"""The append-only event log: the truth everything else is derived from.

Offsets and `visible_at` are given out where they become visible: an append holds the one row of `log_head` until it
commits, so a reader that has seen offset n can never later meet an offset below n. Appends run one after the other;
send many events in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from leads import clock
from leads.clock import Clock, Micros
from leads.db.engine import reading
from leads.db.tables import cursors, events, log_head
from leads.errors import InvalidInput
from leads.events import DecisionMade, Event, ItemCreated, LoggedEvent, RecordedEvent, Subject, decode_event, encode

MAX_CLOCK_SKEW: Micros = 5 * clock.MINUTE
_CHUNK = 5_000
# What the partial indices cover. SQLite uses them only when the query says the same words.
_NOT_A_PLAY = sa.text("kind <> 'played'")


class Head(NamedTuple):
    """The newest event's place and time; zeros in an empty log."""

    offset: int
    visible_at: Micros


class Appended(NamedTuple):
    """How many events are new, how many ids were known already, and the log's head now."""

    accepted: int
    duplicates: int
    head: Head


def append(connection: Connection, new: Sequence[Event], *, clock_: Clock = clock.now) -> Appended:
    """Append events in the caller's transaction; durable once that commits. Known ids change nothing.

    Raises:
        InvalidInput: an event claims to have occurred more than five minutes from now.
    """
    at = clock_()
    for i, event in enumerate(new):
        check_live(event, at, field=f"/{i}")
    return _append(connection, [(event, at) for event in new])


def append_recorded(connection: Connection, history: Sequence[RecordedEvent], *, clock_: Clock = clock.now) -> Appended:
    """Append a recorded history: each event keeps its own `visible_at` as far as the log's order allows.

    Raises:
        InvalidInput: an event became visible before it occurred, or later than now.
    """
    at = clock_()
    for i, record in enumerate(history):
        check_recorded(record, at, field=f"/{i}")
    return _append(connection, [(record.event, record.visible_at) for record in history])


def check_live(event: Event, at: Micros, *, field: str = "") -> None:
    """Raises InvalidInput, naming `field`, when the event's sender is more than five minutes ahead of `at`."""
    if event.occurred_at > at + MAX_CLOCK_SKEW:
        raise InvalidInput(
            f"occurred_at {clock.to_text(event.occurred_at)} lies in the future.",
            field=f"{field}/occurred_at",
            remedy=f"It is {clock.to_text(at)} here; set the sender's clock right and send it again.",
        )


def check_recorded(record: RecordedEvent, at: Micros, *, field: str = "") -> None:
    """Raises InvalidInput, naming `field`, when the event was visible before it occurred, or later than `at`."""
    if record.visible_at > at + MAX_CLOCK_SKEW:
        raise InvalidInput(
            f"visible_at {clock.to_text(record.visible_at)} lies in the future.",
            field=f"{field}/visible_at",
            remedy="Leave visible_at out for events of now.",
        )
    if record.occurred_at > record.visible_at + MAX_CLOCK_SKEW:
        raise InvalidInput(
            "visible_at lies before occurred_at.",
            field=f"{field}/visible_at",
            remedy="Nothing is visible before it occurs; mend one of them.",
        )


def head(connection: Connection) -> Head:
    """The newest event's place and time."""
    row = connection.execute(sa.select(log_head.c.offset, log_head.c.visible_at)).first()
    return Head(row.offset, row.visible_at) if row else Head(0, 0)


def read(engine: Engine, after: int, *, limit: int = 10_000) -> list[LoggedEvent]:
    """Up to `limit` events behind offset `after`, in order."""
    query = (
        sa.select(events.c.offset, events.c.visible_at, events.c.raw)
        .where(events.c.offset > after)
        .order_by(events.c.offset)
        .limit(limit)
    )
    with reading(engine) as connection:
        return [_logged(row) for row in connection.execute(query)]


def read_kind(engine: Engine, kind: str, *, up_to: Micros | None = None) -> Iterator[LoggedEvent]:
    """All events of one kind (not `played`) in order, streamed; with `up_to`, those visible by then."""
    conditions: list[sa.ColumnElement[bool] | sa.TextClause] = [events.c.kind == kind, _NOT_A_PLAY]
    if up_to is not None:
        conditions.append(events.c.visible_at <= up_to)
    return _stream(engine, conditions)


def read_but_plays(engine: Engine, *, up_to: int) -> Iterator[LoggedEvent]:
    """All events but plays up to an offset, in order, streamed."""
    return _stream(engine, [_NOT_A_PLAY, events.c.offset <= up_to])


def _stream(engine: Engine, conditions: Sequence[sa.ColumnElement[bool] | sa.TextClause]) -> Iterator[LoggedEvent]:
    query = sa.select(events.c.offset, events.c.visible_at, events.c.raw).where(*conditions).order_by(events.c.offset)
    with reading(engine) as connection:
        for row in connection.execution_options(yield_per=_CHUNK).execute(query):
            yield _logged(row)


def of_subject(connection: Connection, subject: Subject, *, limit: int = 200) -> list[LoggedEvent]:
    """The newest events about one subject, plays left out, oldest first."""
    query = (
        sa.select(events.c.offset, events.c.visible_at, events.c.raw)
        .where(events.c.type_id == subject.type_id, events.c.subject_id == subject.id, _NOT_A_PLAY)
        .order_by(events.c.offset.desc())
        .limit(limit)
    )
    return [_logged(row) for row in connection.execute(query)][::-1]


def items(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, ItemCreated]:
    """What the named subjects hold now; unknown ones are absent."""
    found: dict[Subject, ItemCreated] = {}
    for _, raw in _newest_last(connection, subjects, "item_created"):
        body = decode_event(raw).body
        assert isinstance(body, ItemCreated)
        found[body.subject.subject] = body
    return found


def texts(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, list[tuple[Micros, str]]]:
    """Every text the named subjects ever had, and since when it is visible, oldest first."""
    found: dict[Subject, list[tuple[Micros, str]]] = {}
    for at, raw in _newest_last(connection, subjects, "item_created"):
        body = decode_event(raw).body
        assert isinstance(body, ItemCreated)
        found.setdefault(body.subject.subject, []).append((at, body.text))
    return found


def visible_at(connection: Connection, offset: int) -> Micros:
    """When the event at an offset became visible; 0 for offset 0."""
    return connection.execute(sa.select(events.c.visible_at).where(events.c.offset == offset)).scalar() or 0


def hold_head(connection: Connection) -> None:
    """Wait for other appends to end; from here to the commit this one is alone."""
    if not connection.execute(sa.update(log_head).values(id=log_head.c.id)).rowcount:
        _insert_ignore(connection, log_head, {"id": 1, "offset": 0, "visible_at": 0})
        connection.execute(sa.update(log_head).values(id=log_head.c.id))


def decisions(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, list[DecisionMade]]:
    """Every decision about the named subjects, under any harm, oldest first; undecided subjects are absent."""
    found: dict[Subject, list[DecisionMade]] = {}
    for _, raw in _newest_last(connection, subjects, "decision_made"):
        body = decode_event(raw).body
        assert isinstance(body, DecisionMade)
        found.setdefault(body.subject.subject, []).append(body)
    return found


def cursor(connection: Connection, name: str) -> int:
    """How far the reader `name` has come; 0 when it never read."""
    return connection.execute(sa.select(cursors.c.offset).where(cursors.c.name == name)).scalar() or 0


def scored_cursor(partition: int, partitions: int) -> str:
    """The cursor of what a partition's worker has scored."""
    return "scored" if partitions == 1 else f"scored-{partition}of{partitions}"


def scored(connection: Connection, partitions: int) -> int:
    """Everything up to here is folded and scored, by every partition's worker."""
    return min(cursor(connection, scored_cursor(i, partitions)) for i in range(partitions))


def move_cursor(connection: Connection, name: str, offset: int) -> None:
    """Note that the reader `name` is done with everything up to `offset`."""
    moved = connection.execute(sa.update(cursors).where(cursors.c.name == name).values(offset=offset))
    if not moved.rowcount:
        connection.execute(sa.insert(cursors).values(name=name, offset=offset))


def _append(connection: Connection, new: list[tuple[Event, Micros]]) -> Appended:
    hold_head(connection)
    known = _known(connection, [event.id for event, _ in new])
    offset, visible_at = head(connection)
    rows = []
    for event, proposed in new:
        if event.id in known:
            continue
        known.add(event.id)
        offset += 1
        visible_at = max(visible_at + 1, proposed)
        subject = event.body.subject
        rows.append(
            {
                "offset": offset,
                "id": event.id,
                "visible_at": visible_at,
                "kind": type(event.body).__struct_config__.tag,
                "type_id": subject.type_id,
                "subject_id": subject.id,
                "raw": encode(event),
            }
        )
    if rows:
        connection.execute(sa.insert(events), rows)
        connection.execute(sa.update(log_head).values(offset=offset, visible_at=visible_at))
    return Appended(len(rows), len(new) - len(rows), Head(offset, visible_at))


def _newest_last(connection: Connection, subjects: Iterable[Subject], kind: str) -> Iterator[tuple[Micros, bytes]]:
    """The subjects' events of one kind (not `played`) as stored, in the log's order within each subject."""
    by_type: dict[str, list[str]] = {}
    for subject in subjects:
        by_type.setdefault(subject.type_id, []).append(subject.id)
    for type_id, ids in by_type.items():
        for start in range(0, len(ids), _CHUNK):
            some = ids[start : start + _CHUNK]
            # Ordered here: asked to order by offset, SQLite walks the whole kind in that order instead of looking up.
            found = _of_subjects(connection, type_id, some, kind)
            yield from ((at, raw) for _, at, raw in sorted(found, key=itemgetter(0)))


def _of_subjects(
    connection: Connection, type_id: str, ids: list[str], kind: str
) -> Sequence[tuple[int, Micros, bytes]]:
    """In the driver's words: on PostgreSQL every score needs it, and SQLAlchemy's take longer than the look-up."""
    if connection.dialect.name == "postgresql":
        rows = connection.exec_driver_sql(_SELECT.format("%s", "= ANY(%s)", "%s"), (type_id, ids, kind))
    else:
        marks = f"IN ({', '.join('?' * len(ids))})"
        rows = connection.exec_driver_sql(_SELECT.format("?", marks, "?"), (type_id, *ids, kind))
    return [(row[0], row[1], row[2]) for row in rows.all()]


_SELECT = (
    'SELECT "offset", visible_at, raw FROM events '
    "WHERE type_id = {} AND subject_id {} AND kind = {} AND kind <> 'played'"
)


def _insert_ignore(connection: Connection, table: sa.Table, row: dict[str, object]) -> None:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_pg

        connection.execute(insert_pg(table).values(**row).on_conflict_do_nothing())
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_lite

        connection.execute(insert_lite(table).values(**row).on_conflict_do_nothing())


def _known(connection: Connection, ids: list[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(events.c.id).where(events.c.id.in_(ids[start : start + _CHUNK]))
        known.update(connection.execute(query).scalars())
    return known


def _logged(row: Row[Any, Any, Any]) -> LoggedEvent:
    return LoggedEvent(row.offset, row.visible_at, decode_event(row.raw))
