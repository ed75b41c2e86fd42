"""Measured values a page at a time, for callers from outside."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.api import page_cursors
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.tables import metric_rows

_FORMAT: Final = "m1"
_Text = Annotated[str, msgspec.Meta(max_length=2_000, pattern=r"^[^\x00]*$(?!\n)")]
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class MetricFilter(NamedTuple):
    """Which values to list. Windows end in since < until ≤ `until`.

    Args:
        harms: only those of these harms, and without `platform` not those of the whole platform; None: all.
        names, slice: only these; None: all.
    """

    harms: Collection[str] | None = None
    platform: bool = True
    names: Collection[str] | None = None
    slice: str | None = None
    since: Micros | None = None
    until: Micros | None = None


class MetricPage(NamedTuple):
    """Values, newest window first, and the cursor of the next page; None after the last page."""

    rows: list[MetricRow]
    next_cursor: str | None


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last row of a page."""

    format: Literal["m1"]
    until: _Time
    harm: _Text
    name: _Text
    slice: _Text
    version: _Text
    since: _Time


def page(connection: Connection, filter_: MetricFilter, *, limit: int, cursor: str | None = None) -> MetricPage:
    """One page of values. Following the cursor skips none that was there, and repeats none.

    Raises:
        InvalidInput: the cursor is invalid.
    """
    table = metric_rows.c
    order = (table.harm, table.name, table.slice, table.version, table.since)
    query = sa.select(*(metric_rows.c[name] for name in MetricRow._fields)).order_by(table.until.desc(), *order)
    if filter_.harms is not None:
        query = query.where(table.harm.in_(sorted({*filter_.harms, *([""] if filter_.platform else [])})))
    elif not filter_.platform:
        query = query.where(table.harm != "")
    if filter_.names is not None:
        query = query.where(table.name.in_(sorted(filter_.names)))
    if filter_.slice is not None:
        query = query.where(table.slice == filter_.slice)
    if filter_.since is not None:
        query = query.where(table.until > filter_.since)
    if filter_.until is not None:
        query = query.where(table.until <= filter_.until)
    if cursor is not None:
        end = page_cursors.of_text(cursor, _Cursor)
        place = (end.harm, end.name, end.slice, end.version, end.since)
        # The first condition is for the index; the others leave out what the last page had.
        query = query.where(table.until <= end.until).where(
            (table.until < end.until) | (sa.tuple_(*order) > sa.tuple_(*map(sa.literal, place)))
        )
    found = [MetricRow(*row) for row in connection.execute(query.limit(limit + 1))]
    shown = found[:limit]
    return MetricPage(shown, _cursor(shown[-1]) if len(found) > limit else None)


def _cursor(row: MetricRow) -> str:
    return page_cursors.to_text(_Cursor(_FORMAT, row.until, row.harm, row.name, row.slice, row.version, row.since))
