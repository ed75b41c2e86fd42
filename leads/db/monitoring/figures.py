"""The few figures that sum a harm up: on its page, in the overview, in gauges and on Evidently's dashboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.tables import metric_rows

# What a value is, and so how it is written.
Unit = Literal["yes_no", "share", "count", "number", "seconds", "hours"]


class Figure(NamedTuple):
    """A figure.

    Args:
        name: of its metric rows.
        slices: of which slice it is the value: the first that has one.
    """

    name: str
    title: str
    unit: Unit
    slices: tuple[str, ...] = ("",)


# Against the window before, there is a value for versions without a reference sample, too.
_AGAINST = ("against=reference", "against=before")

VERDICT = Figure("drift.verdict", "Drifted", "yes_no", _AGAINST)
FIGURES: tuple[Figure, ...] = (
    VERDICT,
    Figure("drift.share", "Inputs that drifted", "share", _AGAINST),
    Figure("drift.score", "Drift of the score", "number", _AGAINST),
    Figure("score.mean", "Mean score", "number"),
    Figure("score.flagged", "Subjects flagged", "share"),
    Figure("performance.precision", "Precision of reviewed leads", "share"),
    Figure("performance.expected_precision", "Precision that the scores promise", "share"),
    Figure("performance.calibration", "Evidence of miscalibration", "number"),
    Figure("predictions.volume", "Predictions", "count"),
    Figure("predictions.missing", "Predictions missing", "share"),
    Figure("skew.share", "Skewed features", "share"),
    Figure("queue.oldest_h", "Oldest open lead", "hours"),
)
# A value whose window ended longer ago than this says nothing about today.
SHOWN_FOR: Micros = 3 * clock.DAY
# Windows that end at the same time: of several lengths, and of several versions around a promotion.
_SAME_END = 12

_COLUMNS = [metric_rows.c[name] for name in MetricRow._fields]


def newest(
    connection: Connection, harms: Iterable[str], now: Micros, *, figures: Iterable[Figure] = FIGURES
) -> dict[str, dict[str, MetricRow]]:
    """The newest value of each figure, by harm and name. Those that weren't measured lately aren't there."""
    wanted = tuple(figures)
    return {
        harm: {figure.name: row for figure in wanted if (row := _newest(connection, harm, figure, now)) is not None}
        for harm in harms
    }


def preferred(rows: Iterable[MetricRow]) -> MetricRow | None:
    """Of rows of one metric and slice, the one to show: of the newest window, a day if there is one, else the longest.

    >>> row = MetricRow("spam", "3", "", 0, 0, "drift.score", 0.1, None, None, 9, "")
    >>> rows = [row._replace(since=-hours * clock.HOUR) for hours in (6, 24, 72)]
    >>> preferred(rows).since == -clock.DAY
    True
    """
    return max(rows, key=_preference, default=None)


def by_name(rows: Iterable[MetricRow]) -> Mapping[str, list[MetricRow]]:
    """The rows of each metric, in their order."""
    found: dict[str, list[MetricRow]] = {}
    for row in rows:
        found.setdefault(row.name, []).append(row)
    return found


def _newest(connection: Connection, harm: str, figure: Figure, now: Micros) -> MetricRow | None:
    for slice_ in figure.slices:
        of = (metric_rows.c.harm == harm) & (metric_rows.c.name == figure.name) & (metric_rows.c.slice == slice_)
        query = (
            sa.select(*_COLUMNS)
            .where(of, metric_rows.c.until > now - SHOWN_FOR, metric_rows.c.value.is_not(None))
            .order_by(metric_rows.c.until.desc())
            .limit(_SAME_END)
        )
        found = preferred(MetricRow(*row) for row in connection.execute(query))
        if found is not None:
            return found
    return None


def _preference(row: MetricRow) -> tuple[Micros, bool, Micros, int]:
    length = row.until - row.since
    return row.until, length == clock.DAY, length, row.n
