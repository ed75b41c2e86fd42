"""The append-only event log. Everything else is derived from it.

Offsets and `visible_at` are assigned in commit order: an append locks the single row of `log_head` until it commits, so
a reader that has seen offset n never sees a smaller offset appear later. Appends therefore run one at a time; batch
events to append many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from leads import clock
from leads.clock import Clock, Micros
from leads.db.engine import reading
from leads.db.tables import events, log_head
from leads.errors import InvalidInput
from leads.events import DecisionMade, Event, ItemCreated, LoggedEvent, RecordedEvent, Subject, decode_event, encode

# Offset, visible_at, JSON.
RawEvent = tuple[int, Micros, bytes]
# Runs a statement in the driver's own syntax with positional parameters, and returns its rows.
Execute = Callable[[str, tuple[Any, ...]], Iterable[Any]]

MAX_CLOCK_SKEW: Micros = 5 * clock.MINUTE
_CHUNK = 5_000
_SUBJECTS_PER_QUERY = 1_000
# The condition of the partial indices. SQLite uses them only if the query repeats it literally.
_NOT_A_PLAY = sa.text("kind <> 'played'")


class Head(NamedTuple):
    """The newest event's offset and time; zeros for an empty log."""

    offset: int
    visible_at: Micros


class Appended(NamedTuple):
    """The number of new events, the number of known ids, and the log's head now."""

    accepted: int
    duplicates: int
    head: Head


def append(connection: Connection, new: Sequence[Event], *, clock_: Clock = clock.now) -> Appended:
    """Append events in the caller's transaction; they are durable once it commits. Known ids are skipped.

    Raises:
        InvalidInput: an event's `occurred_at` is more than five minutes in the future.
    """
    at = clock_()
    for i, event in enumerate(new):
        check_live(event, at, field=f"/{i}")
    return _append(connection, [(event, at) for event in new])


def append_recorded(connection: Connection, history: Sequence[RecordedEvent], *, clock_: Clock = clock.now) -> Appended:
    """Append a recorded history. Each event keeps its own `visible_at` as far as the log's order allows.

    Raises:
        InvalidInput: `visible_at` is before `occurred_at`, or in the future.
    """
    at = clock_()
    for i, record in enumerate(history):
        check_recorded(record, at, field=f"/{i}")
    return _append(connection, [(record.event, record.visible_at) for record in history])


def check_live(event: Event, at: Micros, *, field: str = "") -> None:
    """Raises InvalidInput with `field` when the event occurred more than five minutes after `at`."""
    if event.occurred_at > at + MAX_CLOCK_SKEW:
        raise InvalidInput(
            f"occurred_at {clock.to_text(event.occurred_at)} is in the future.",
            field=f"{field}/occurred_at",
            remedy=f"The server's time is {clock.to_text(at)}; correct the sender's clock and send the event again.",
        )


def check_recorded(record: RecordedEvent, at: Micros, *, field: str = "") -> None:
    """Raises InvalidInput with `field` when `visible_at` is before `occurred_at`, or after `at`."""
    if record.visible_at > at + MAX_CLOCK_SKEW:
        raise InvalidInput(
            f"visible_at {clock.to_text(record.visible_at)} is in the future.",
            field=f"{field}/visible_at",
            remedy="Leave out visible_at for current events.",
        )
    if record.occurred_at > record.visible_at + MAX_CLOCK_SKEW:
        raise InvalidInput(
            "visible_at is before occurred_at.",
            field=f"{field}/visible_at",
            remedy="An event can't be visible before it occurs; correct one of the two times.",
        )


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
        return [_logged(row) for row in connection.execute(query)]


def read_kind(engine: Engine, kind: str, *, up_to: Micros | None = None) -> Iterator[LoggedEvent]:
    """All events of one kind (not `played`) in order, streamed; with `up_to`, those visible by then."""
    conditions: list[sa.ColumnElement[bool] | sa.TextClause] = [events.c.kind == kind, _NOT_A_PLAY]
    if up_to is not None:
        conditions.append(events.c.visible_at <= up_to)
    return _stream(engine, conditions)


def read_without_plays(engine: Engine, *, up_to: int) -> Iterator[LoggedEvent]:
    """All events except plays, up to and including an offset, in order, streamed."""
    return _stream(engine, [_NOT_A_PLAY, events.c.offset <= up_to])


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
            yield _logged(row)


def of_subject(connection: Connection, subject: Subject, *, limit: int = 200) -> list[LoggedEvent]:
    """The newest events about one subject except plays, oldest first."""
    query = (
        sa.select(events.c.offset, events.c.visible_at, events.c.raw)
        .where(events.c.type_id == subject.type_id, events.c.subject_id == subject.id, _NOT_A_PLAY)
        .order_by(events.c.offset.desc())
        .limit(limit)
    )
    return [_logged(row) for row in connection.execute(query)][::-1]


def raw_events(execute: Execute, dialect: str, subjects: Iterable[Subject], kind: str) -> Iterator[RawEvent]:
    """The subjects' events of one kind (not `played`), in log order for each subject.

    Takes `execute` so that scoring can use it without SQLAlchemy, whose statements cost more than the query itself.
    """
    by_type: dict[str, dict[str, None]] = {}
    for type_id, id_ in subjects:
        by_type.setdefault(type_id, {})[id_] = None
    for type_id, unique in by_type.items():
        ids = list(unique)
        for start in range(0, len(ids), _SUBJECTS_PER_QUERY):
            chunk = ids[start : start + _SUBJECTS_PER_QUERY]
            listed = (chunk,) if dialect == "postgresql" else chunk
            rows = execute(_select(dialect, len(chunk)), (kind, type_id, *listed))
            # Sorted here: with ORDER BY offset, SQLite scans all events of the kind instead of using the subject index.
            yield from sorted(rows, key=itemgetter(0))


@lru_cache(maxsize=128)
def _select(dialect: str, subjects: int) -> str:
    mark, ids = ("%s", "= ANY(%s)") if dialect == "postgresql" else ("?", f"IN ({', '.join('?' * subjects)})")
    return (
        'SELECT "offset", visible_at, raw FROM events '
        f"WHERE kind = {mark} AND kind <> 'played' AND type_id = {mark} AND subject_id {ids}"
    )


def raw_events_on(connection: Connection, subjects: Iterable[Subject], kind: str) -> Iterator[RawEvent]:
    """`raw_events` on a SQLAlchemy connection."""
    return raw_events(connection.exec_driver_sql, connection.dialect.name, subjects, kind)


def texts(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, list[tuple[Micros, str]]]:
    """Every text that the subjects have had and when it became visible, oldest first; unknown subjects are absent."""
    found: dict[Subject, list[tuple[Micros, str]]] = {}
    for _, at, raw in raw_events_on(connection, subjects, "item_created"):
        body = decode_event(raw).body
        assert isinstance(body, ItemCreated)
        found.setdefault(body.subject.subject, []).append((at, body.text))
    return found


def visible_at(connection: Connection, offset: int) -> Micros:
    """When the event at an offset became visible; 0 for offset 0."""
    return connection.execute(sa.select(events.c.visible_at).where(events.c.offset == offset)).scalar() or 0


def lock_head(connection: Connection) -> None:
    """Wait for other appends to finish and block new ones until the caller's transaction ends."""
    if not connection.execute(sa.update(log_head).values(id=log_head.c.id)).rowcount:
        _insert_ignore(connection, log_head, {"id": 1, "offset": 0, "visible_at": 0})
        connection.execute(sa.update(log_head).values(id=log_head.c.id))


def decisions(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, list[DecisionMade]]:
    """Every decision about the subjects, under any harm, oldest first; undecided subjects are absent."""
    found: dict[Subject, list[DecisionMade]] = {}
    for _, _, raw in raw_events_on(connection, subjects, "decision_made"):
        body = decode_event(raw).body
        assert isinstance(body, DecisionMade)
        found.setdefault(body.subject.subject, []).append(body)
    return found


def _append(connection: Connection, new: list[tuple[Event, Micros]]) -> Appended:
    lock_head(connection)
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
