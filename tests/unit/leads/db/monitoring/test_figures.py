"""The newest figures of a harm: which window and slice they are of."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.monitoring import figures
from leads.db.monitoring.rows import MetricRow, write
from leads.db.monitoring.tables import metric_rows
from leads.db.monitoring.verdicts import VERDICT

NOW = clock.from_text("2026-03-10T12:30:00Z")
HOUR = NOW // clock.HOUR * clock.HOUR


def row(
    name: str, value: float | None, *, until: Micros = HOUR, hours: int = 24, slice_: str = "", harm: str = "spam",
    version: str = "3",
) -> MetricRow:  # fmt: skip
    return MetricRow(harm, version, slice_, until - hours * clock.HOUR, until, name, value, None, None, 100, "counted")


def newest(engine: Engine, *rows: MetricRow, now: Micros = NOW) -> dict[str, float | None]:
    with engine.begin() as connection:
        write(connection, "run", rows)
    with reading(engine) as connection:
        found = figures.newest(connection, ["spam", "sexism"], now)
    assert found["sexism"] == {}
    return {name: one.value for name, one in found["spam"].items()}


def test_the_newest_window_counts(any_engine: Engine) -> None:
    rows = [row("score.mean", value, until=HOUR - i * clock.HOUR) for i, value in enumerate((0.3, 0.2, 0.1))]
    assert newest(any_engine, *rows, row("score.mean", 0.9, harm="harassment")) == {"score.mean": 0.3}


def test_a_window_of_a_day_is_shown_although_shorter_ones_end_later(any_engine: Engine) -> None:
    ends = [HOUR - i * clock.HOUR for i in range(30)]
    short = [row("drift.score", 0.6, until=end, hours=6, slice_="against=reference") for end in ends]
    long = [row("drift.score", 0.2, until=HOUR - 3 * clock.HOUR, slice_="against=reference")]
    assert newest(any_engine, *short, *long) == {"drift.score": 0.2}


def test_without_windows_of_a_day_the_longest_of_the_newest_is_shown(any_engine: Engine) -> None:
    rows = [row("drift.score", hours / 100, hours=hours, slice_="against=reference") for hours in (6, 48, 12)]
    assert newest(any_engine, *rows) == {"drift.score": 0.48}


def test_of_windows_that_are_as_long_as_needed_the_newest_counts(any_engine: Engine) -> None:
    rows = [row("predictions.missing", 1.0, until=HOUR - clock.HOUR), row("predictions.missing", 0.0, hours=1)]
    assert newest(any_engine, *rows) == {"predictions.missing": 0.0}
    with reading(any_engine) as connection:
        assert [one.value for one in figures.newest_rows(connection, "spam", NOW)] == [0.0]


def test_a_verdict_of_yesterday_is_not_repeated_when_there_is_none_today(any_engine: Engine) -> None:
    before = HOUR - 8 * clock.HOUR
    rows = [
        row(VERDICT, 1.0, until=before, slice_="against=reference"),
        row(VERDICT, 1.0, until=before, slice_="against=before"),
        row(VERDICT, None, slice_="against=reference"),
    ]
    assert newest(any_engine, *rows) == {VERDICT: None}


def test_without_a_reference_the_verdict_is_that_against_the_windows_before(any_engine: Engine) -> None:
    rows = [row(VERDICT, None, slice_="against=reference"), row(VERDICT, 1.0, slice_="against=before")]
    assert newest(any_engine, *rows) == {VERDICT: 1.0}


@pytest.mark.parametrize("hours_ago", [1, 24, 71])
def test_after_a_promotion_the_last_day_of_the_version_before_is_not_shown(any_engine: Engine, hours_ago: int) -> None:
    old = HOUR - hours_ago * clock.HOUR
    of_old = [row("drift.score", 0.9, until=old, slice_="against=reference")]
    of_new = [row("drift.score", 0.2, hours=6, slice_="against=reference", version="4")]
    assert newest(any_engine, *of_old, *of_new) == {"drift.score": 0.2}


@pytest.mark.parametrize("hours_ago", [1, 24, 71])
def test_a_newer_verdict_against_the_windows_before_replaces_that_of_the_version_before(
    any_engine: Engine, hours_ago: int
) -> None:
    rows = [
        row(VERDICT, 1.0, until=HOUR - hours_ago * clock.HOUR, slice_="against=reference"),
        row(VERDICT, 0.0, slice_="against=before", version=""),
    ]
    assert newest(any_engine, *rows) == {VERDICT: 0.0}


def test_while_both_versions_have_windows_the_day_that_has_most_is_shown(any_engine: Engine) -> None:
    slice_ = "against=reference"
    day = [row("drift.score", 0.3, slice_=slice_), row("drift.score", 0.4, slice_=slice_, version="4")._replace(n=300)]
    assert newest(any_engine, *day, row("drift.score", 0.8, hours=6, slice_=slice_, version="4")) == {
        "drift.score": 0.4
    }


def test_old_values_are_left_out(any_engine: Engine) -> None:
    assert newest(any_engine, row("score.mean", 0.3), now=HOUR + figures.SHOWN_FOR) == {}


def test_rows_of_each_length_are_found(any_engine: Engine) -> None:
    rows = [
        row("drift.input", 0.6, hours=6, slice_="against=reference;column=a"),
        row("drift.input", 0.2, until=HOUR - clock.HOUR, slice_="against=reference;column=a"),
        row("drift.input", 0.1, until=HOUR - 5 * clock.HOUR, slice_="against=reference;column=b"),
        row("score.mean", 0.3, until=HOUR - clock.DAY),
    ]
    with any_engine.begin() as connection:
        write(connection, "run", rows)
    with reading(any_engine) as connection:
        found = figures.newest_rows(connection, "spam", NOW)
    assert sorted((one.name, one.value) for one in found) == [
        ("drift.input", 0.2), ("drift.input", 0.6), ("score.mean", 0.3),
    ]  # fmt: skip


def test_a_history_is_of_the_same_time_on_other_days(any_engine: Engine) -> None:
    ends = [HOUR - i * clock.HOUR for i in range(60)]
    rows = [row("score.mean", i / 100, until=end) for i, end in enumerate(ends)]
    rows += [row("score.mean", 9.0, until=HOUR - clock.DAY, hours=6)]
    with any_engine.begin() as connection:
        write(connection, "run", rows)
    with reading(any_engine) as connection:
        found = figures.history(connection, rows[0])
    assert [one.value for one in found] == [0.48, 0.24, 0.0]


@pytest.mark.parametrize(("value", "yes"), [(1.0, True), (0.0, False), (None, False)])
def test_yes_and_no(value: float | None, yes: bool) -> None:
    assert figures.says_yes(row(VERDICT, value)) is yes


def test_the_newest_windows_are_found_by_an_index(engine: Engine) -> None:
    """A harm has tens of thousands of values a day, and the gauges are read once a minute."""
    of = (metric_rows.c.harm == "spam") & (metric_rows.c.name == "score.mean") & (metric_rows.c.slice == "")
    query = metric_rows.select().where(of, metric_rows.c.until > 0).order_by(metric_rows.c.until.desc()).limit(40)
    text = str(query.compile(engine, compile_kwargs={"literal_binds": True}))
    with reading(engine) as connection:
        plan = " ".join(str(one) for one in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
    assert "ix_metric_rows_newest" in plan
    assert "TEMP B-TREE" not in plan
