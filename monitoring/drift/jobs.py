"""The jobs of drift, one for each length of window, and the rows that they write."""

from __future__ import annotations

from functools import partial
from typing import get_args

from leads import clock
from leads.alerting.policy import WindowHours
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.verdicts import NO_VERDICT, VERDICT
from leads.estimates.slices import slice_of, slice_parts
from monitoring.drift.measure import measure
from monitoring.drift.results import REFERENCE, ColumnDrift, Comparison, TooFew
from monitoring.summaries.summary import FLAGGED, SCORE
from monitoring.watch.jobs import Job
from monitoring.watch.world import World

SCORES, FLAGGED_SHARE, INPUT, GROWING = "drift.score", "drift.flagged", "drift.input", "drift.growing"
TEXT, SHARE = "drift.text", "drift.share"
_TEXT_COLUMNS = frozenset(("length", "language", "vocabulary", "encoder"))
# The inputs of a slice whose values are stored: those nearest to their thresholds, or beyond.
_INPUTS_OF_SLICE = 8
# Windows of a length end this many times in it.
_STEPS = 6


def drift_jobs() -> tuple[Job, ...]:
    """A job for each length that windows may have; those that the policy doesn't name measure nothing."""
    return tuple(Job(f"drift of {hours} h", every(hours), partial(_measure, hours)) for hours in get_args(WindowHours))


def every(hours: int) -> Micros:
    """How far the ends of windows of this length are apart, µs: a sixth of it, at most a day."""
    return min(hours // _STEPS, 24) * clock.HOUR


def verdict_hours(lengths: tuple[int, ...]) -> int:
    """The length of the windows that the one verdict is about: a day, or the nearest length that the policy names.

    >>> verdict_hours((6, 24, 72)), verdict_hours((6, 12)), verdict_hours((48, 168))
    (24, 12, 48)
    """
    return min(lengths, key=lambda hours: (abs(hours - 24), hours))


def _measure(hours: int, world: World, harm: str, until: Micros) -> list[MetricRow]:
    lengths = world.policies.monitoring.window_hours
    if hours not in lengths:
        return []
    measured = measure(world, harm, until - hours * clock.HOUR, until)
    rows = [row for one in measured.comparisons for row in rows_of(one)]
    if hours == verdict_hours(lengths):
        rows += [_verdict(one) for one in measured.verdicts]
        rows += [_no_verdict(one) for one in measured.too_few if one.against == REFERENCE]
    return rows


def rows_of(one: Comparison) -> list[MetricRow]:
    """A comparison's measured values, without the verdict. `lo` is the value minus its threshold."""
    rows = [
        _row(one, name, column, shown)
        for column in one.columns
        if not column.input
        for name, shown in (_named(column),)
    ]
    inputs = [column for column in one.columns if column.input]
    if one.slice:
        inputs = sorted(inputs, key=lambda column: -column.value / column.threshold)[:_INPUTS_OF_SLICE]
    rows += [_row(one, GROWING if column.grows else INPUT, column, column.name) for column in inputs]
    method = "share of the inputs that drifted"
    rows.append(_plain(one, SHARE, one.share, method))
    return rows


def _verdict(one: Comparison) -> MetricRow:
    return _plain(one, VERDICT, float(one.drifted), "1: the score or a tenth of the inputs drifted")


def _named(column: ColumnDrift) -> tuple[str, str]:
    """The metric of a column that is no input, and the column that its slice names; empty for none."""
    if column.name in _TEXT_COLUMNS:
        return TEXT, column.name
    return {SCORE: SCORES, FLAGGED: FLAGGED_SHARE}.get(column.name, INPUT), ""


def _slice(one: Comparison, column: str = "") -> str:
    return slice_of(**slice_parts(one.slice), against=one.against, **({"column": column} if column else {}))


def _row(one: Comparison, name: str, column: ColumnDrift, shown: str) -> MetricRow:
    lo = None if column.grows else column.value - column.threshold
    return MetricRow(
        one.harm,
        one.version,
        _slice(one, shown),
        one.since,
        one.until,
        name,
        column.value,
        lo,
        None,
        one.rows,
        f"{column.method}; lo is the value minus its threshold",
    )


def _plain(one: Comparison, name: str, value: float, method: str) -> MetricRow:
    return MetricRow(
        one.harm, one.version, _slice(one), one.since, one.until, name, value, None, None, one.rows, method
    )


def _no_verdict(one: TooFew) -> MetricRow:
    method = f"{NO_VERDICT}: {one.why}"
    slice_ = slice_of(against=one.against)
    return MetricRow(one.harm, one.version, slice_, one.since, one.until, VERDICT, None, None, None, one.rows, method)
