"""Finds the event with the content that a subject holds, now or when another event was appended.

One statement each: an index look-up per subject in `item_versions`, and the subjects' events that the table doesn't
cover yet, usually none. The cost doesn't grow with the number of edits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from leads.clock import Micros
from leads.db.content.libpq import Row
from leads.db.subject_events import Execute
from leads.events import Subject

# What the row belongs to (0, or the offset before which the content was held), offset, visible_at, JSON.
HeldEvent = tuple[int, int, Micros, bytes]

_PER_QUERY = 1_000
_COLUMNS = {"type_id": "text", "subject_id": "text", "before": "bigint", "visible_by": "bigint"}


def held_now(execute: Execute, dialect: str, subjects: Iterable[Subject]) -> Iterator[HeldEvent]:
    """The events that may hold what each subject holds now: of several, the newest version counts."""
    return _held(execute, dialect, list(dict.fromkeys(subjects)), bounded=False)


def held_offsets(execute: Execute, dialect: str, subjects: Sequence[Subject]) -> list[int | None]:
    """The offset of the event with what each subject holds now; None where `item_versions` doesn't tell.

    Reads no event, so it takes a third of the time of `held_now`.
    """
    found: list[int | None] = [None] * len(subjects)
    for start in range(0, len(subjects), _PER_QUERY):
        chunk = subjects[start : start + _PER_QUERY]
        for i, offset in execute(_select_offsets(dialect, len(chunk)), _parameters(dialect, chunk)):
            found[start + i] = offset
    return found


def asked_held(subjects: Sequence[Subject]) -> tuple[str, Sequence[Any]]:
    """A statement for `KeptConnections.ask`, with its parameters: its rows are what `read_held` reads."""
    return _numbered(_select("postgresql", len(subjects), False)), _parameters("postgresql", subjects)


def read_held(rows: Iterable[Row]) -> list[HeldEvent]:
    """What `held_now` yields, from the rows of `asked_held`."""
    # A value of type bytea is hexadecimal text after `\\x`.
    return [
        (0, int(offset or 0), int(at or 0), bytes.fromhex((raw or b"")[2:].decode())) for _, offset, at, raw in rows
    ]


def asked_offsets(subjects: Sequence[Subject]) -> tuple[str, Sequence[Any]]:
    """A statement for `KeptConnections.ask`, with its parameters: its rows are what `read_offsets` reads."""
    statement = _select_offsets("postgresql", len(subjects))
    return _numbered(statement), _parameters("postgresql", subjects)


def read_offsets(rows: Iterable[Row], n: int) -> list[int | None]:
    """What `held_offsets` returns for n subjects, from the rows of `asked_offsets`."""
    found: list[int | None] = [None] * n
    for i, offset in rows:
        if i is not None and offset is not None:
            found[int(i)] = int(offset)
    return found


def held_before(execute: Execute, dialect: str, asked: Iterable[tuple[Subject, int, Micros]]) -> Iterator[HeldEvent]:
    """The events that may hold what each subject held when the event at an offset became visible.

    Args:
        asked: the subject, and the event's offset and `visible_at`.
    """
    return _held(execute, dialect, [(*subject, offset, at) for subject, offset, at in asked], bounded=True)


def _held(execute: Execute, dialect: str, asked: Sequence[tuple[Any, ...]], *, bounded: bool) -> Iterator[HeldEvent]:
    for start in range(0, len(asked), _PER_QUERY):
        chunk = asked[start : start + _PER_QUERY]
        yield from execute(_select(dialect, len(chunk), bounded), _parameters(dialect, chunk))


def _takes_arrays(dialect: str, rows: int) -> bool:
    # PostgreSQL keeps the plan of one statement for any number of subjects, but for one alone it would plan every time.
    return dialect == "postgresql" and rows > 1


def _parameters(dialect: str, chunk: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    if _takes_arrays(dialect, len(chunk)):
        return tuple(map(list, zip(*chunk, strict=True)))
    return tuple(chain.from_iterable(chunk))


@lru_cache(maxsize=128)
def _select(dialect: str, rows: int, bounded: bool) -> str:
    names = list(_COLUMNS) if bounded else list(_COLUMNS)[:2]
    before, version = "asked.before" if bounded else "0", _version(bounded)
    if _takes_arrays(dialect, rows):
        values = f"SELECT * FROM unnest({', '.join(f'%s::{_COLUMNS[name]}[]' for name in names)})"
    else:
        values = "VALUES " + ", ".join([f"({_marks(dialect, names)})"] * rows)
    if dialect == "postgresql":
        listed = f'asked CROSS JOIN LATERAL ({version}) version JOIN events e ON e."offset" = version."offset"'
    else:
        # SQLite joins tables in the given order where they are joined by CROSS JOIN.
        listed = f'asked CROSS JOIN events e ON e."offset" = ({version})'
    return (
        # Without the hint, SQLite copies the list to a table first, because it is used twice.
        f"WITH asked({', '.join(names)}) AS NOT MATERIALIZED ({values}) "
        f'SELECT {before}, e."offset", e.visible_at, e.raw FROM {listed} '
        f'UNION ALL SELECT {before}, e."offset", e.visible_at, e.raw '
        "FROM asked CROSS JOIN events e "
        # Subqueries on their own, which databases run once. Joined, PostgreSQL may read the subject's events first.
        'WHERE (SELECT h.item_versions_to < h."offset" FROM log_head h) '
        'AND e."offset" > (SELECT h.item_versions_to FROM log_head h) '
        "AND e.type_id = asked.type_id AND e.subject_id = asked.subject_id "
        "AND e.kind = 'item_created' AND e.kind <> 'played'" + (' AND e."offset" < asked.before' if bounded else "")
    )


@lru_cache(maxsize=128)
def _select_offsets(dialect: str, rows: int) -> str:
    names = list(_COLUMNS)[:2]
    if _takes_arrays(dialect, rows):
        arrays = ", ".join(f"%s::{_COLUMNS[name]}[]" for name in names)
        asked = f"SELECT n - 1, {', '.join(names)} FROM unnest({arrays}) WITH ORDINALITY given({', '.join(names)}, n)"
    else:
        marks = _marks(dialect, names)
        asked = "VALUES " + ", ".join(f"({i}, {marks})" for i in range(rows))
    return (
        f"WITH asked(i, {', '.join(names)}) AS ({asked}) SELECT asked.i, ({_version(bounded=False)}) "
        # If an older release appended events, the table doesn't cover them yet.
        'FROM asked WHERE (SELECT h.item_versions_to >= h."offset" FROM log_head h)'
    )


@lru_cache(maxsize=128)
def _numbered(statement: str) -> str:
    """The statement with parameters $1, $2, … instead of %s."""
    first, *others = statement.split("%s")
    return first + "".join(f"${i}{part}" for i, part in enumerate(others, start=1))


def _marks(dialect: str, names: Sequence[str]) -> str:
    return ", ".join(f"%s::{_COLUMNS[name]}" if dialect == "postgresql" else "?" for name in names)


def _version(bounded: bool) -> str:
    """The offset of the newest version of an asked subject, visible by then if `bounded`."""
    return (
        'SELECT v."offset" FROM item_versions v WHERE v.type_id = asked.type_id AND v.subject_id = asked.subject_id '
        + ('AND v.at <= asked.visible_by AND v."offset" < asked.before ' if bounded else "")
        + 'ORDER BY v.at DESC, v."offset" DESC LIMIT 1'
    )
