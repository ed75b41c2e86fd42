"""Pages of measured values: complete, in order, and only what was asked for."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db.engine import reading
from leads.db.monitoring.listing import MetricFilter, page
from leads.db.monitoring.rows import MetricRow, write
from leads.errors import InvalidInput

HOUR = clock.from_text("2026-03-10T12:00:00Z")


def values() -> list[MetricRow]:
    return [
        MetricRow(harm, version, slice_, until - length, until, name, 0.5, None, None, 1, "counted")
        for harm in ("", "spam", "sexism")
        for name in ("drift.score", "score.mean")
        for slice_ in ("", "type=comment", "type=track")
        for version in ("3", "4")
        for until in (HOUR, HOUR - clock.HOUR)
        for length in (clock.HOUR, clock.DAY)
    ]


@pytest.fixture
def stored(any_engine: Engine) -> Engine:
    with any_engine.begin() as connection:
        write(connection, "run", values())
    return any_engine


def everything(engine: Engine, filter_: MetricFilter, limit: int) -> list[MetricRow]:
    found: list[MetricRow] = []
    cursor: str | None = None
    with reading(engine) as connection:
        while True:
            one = page(connection, filter_, limit=limit, cursor=cursor)
            assert len(one.rows) == limit or one.next_cursor is None
            found += one.rows
            cursor = one.next_cursor
            if cursor is None:
                return found


@pytest.mark.parametrize("limit", [1, 7, 144, 1_000])
def test_pages_together_have_each_value_once_newest_first(stored: Engine, limit: int) -> None:
    found = everything(stored, MetricFilter(), limit)
    assert sorted(found) == sorted(values())
    assert [one.until for one in found] == sorted((one.until for one in found), reverse=True)


@pytest.mark.parametrize(
    ("filter_", "of"),
    [
        (MetricFilter(harms=["spam"], platform=False), lambda row: row.harm == "spam"),
        (MetricFilter(harms=["spam"]), lambda row: row.harm in ("", "spam")),
        (MetricFilter(platform=False), lambda row: row.harm != ""),
        (MetricFilter(harms=[], platform=False), lambda row: False),
        (MetricFilter(names=["score.mean"]), lambda row: row.name == "score.mean"),
        (MetricFilter(slice=""), lambda row: row.slice == ""),
        (MetricFilter(slice="type=track"), lambda row: row.slice == "type=track"),
        (MetricFilter(since=HOUR - clock.HOUR), lambda row: row.until == HOUR),
        (MetricFilter(until=HOUR - clock.HOUR), lambda row: row.until == HOUR - clock.HOUR),
    ],
)
def test_filters(stored: Engine, filter_: MetricFilter, of: object) -> None:
    assert sorted(everything(stored, filter_, 10)) == sorted(filter(of, values()))  # type: ignore[arg-type]


def test_what_is_measured_meanwhile_changes_no_page(stored: Engine) -> None:
    with reading(stored) as connection:
        first = page(connection, MetricFilter(), limit=50)
    newer = [row._replace(until=row.until + clock.HOUR) for row in values() if row.until == HOUR]
    with stored.begin() as connection:
        write(connection, "run", newer)
    with reading(stored) as connection:
        second = page(connection, MetricFilter(), limit=1_000, cursor=first.next_cursor)
    assert sorted(first.rows + second.rows) == sorted(values())


@pytest.mark.parametrize(
    "cursor", ["", "x", "WyJtMSJd", "WyJyMSIsLTE0MjEzLjI1LCJsXzBmNzEyMjFkNjc1NWFmMDNiZWJkZTFhOSJd", "é", "A" * 3]
)
def test_invalid_cursors(engine: Engine, cursor: str) -> None:
    with reading(engine) as connection, pytest.raises(InvalidInput) as caught:
        page(connection, MetricFilter(), limit=1, cursor=cursor)
    assert caught.value.field == "/cursor"
