"""Looks up the events of single subjects: their content, the decisions about them, and their newest events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.event_log import logged_event
from leads.db.tables import NOT_A_PLAY, events
from leads.events import LoggedEvent, Subject, decode_event

# Offset, visible_at, JSON.
RawEvent = tuple[int, Micros, bytes]
# Runs a statement in the driver's own syntax with positional parameters, and returns its rows.
Execute = Callable[[str, tuple[Any, ...]], Iterable[Any]]

_SUBJECTS_PER_QUERY = 1_000


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


def decisions(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, list[LoggedEvent]]:
    """Every decision about the subjects, under any harm, oldest first; undecided subjects are absent."""
    found: dict[Subject, list[LoggedEvent]] = {}
    for offset, at, raw in raw_events_on(connection, subjects, "decision_made"):
        logged = LoggedEvent(offset, at, decode_event(raw))
        found.setdefault(logged.event.body.subject.subject, []).append(logged)
    return found


def signals(connection: Connection, subject: Subject, *, limit: int | None = None) -> list[LoggedEvent]:
    """The signals about a subject, oldest first; with `limit` only the newest."""
    query = (
        sa.select(events.c.offset, events.c.visible_at, events.c.raw)
        .where(events.c.type_id == subject.type_id, events.c.subject_id == subject.id)
        .where(events.c.kind == "signal_received", NOT_A_PLAY)
        .order_by(events.c.offset.desc())
        .limit(limit)
    )
    return [logged_event(row) for row in connection.execute(query)][::-1]
