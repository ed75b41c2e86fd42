"""The few figures that sum a harm up: on its page, in the overview, in gauges and on Evidently's dashboard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.monitoring import verdicts
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.tables import metric_rows

# What a value is, and so how it is written.
Unit = Literal["yes_no", "share", "count", "number", "seconds", "hours"]


class Figure(NamedTuple):
    """A figure.

    Args:
        name: of its metric rows.
        slices: of which slice it is the value: the first in which it could be measured.
    """

    name: str
    title: str
    unit: Unit
    slices: tuple[str, ...] = ("",)


# Against the windows before, there is a value for versions without a reference sample, too.
_AGAINST = ("against=reference", "against=before")

VERDICT = Figure(verdicts.VERDICT, "Drifted", "yes_no", _AGAINST)
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
# Among so many of the newest windows of drift, one is of a day. Around a promotion, a window has a value per version.
_NEWEST = 40

# Only these are measured in windows of several lengths at a time. Those of others are as long as a value needs.
_OF_LENGTHS = "drift."

_COLUMNS = [metric_rows.c[name] for name in MetricRow._fields]


def newest(
    connection: Connection, harms: Iterable[str], now: Micros, *, figures: Iterable[Figure] = FIGURES
) -> dict[str, dict[str, MetricRow]]:
    """The newest value of each figure, by harm and name. Those that weren't measured lately aren't there.

    A value is None if the newest window had too little to measure it, whatever earlier windows had.
    """
    wanted = tuple(figures)
    return {
        harm: {figure.name: row for figure in wanted if (row := _newest(connection, harm, figure, now)) is not None}
        for harm in harms
    }


def newest_rows(connection: Connection, harm: str, now: Micros) -> list[MetricRow]:
    """The values of all metrics of a harm in the window that ended last; those of drift, in that of each length."""
    of_lengths = metric_rows.c.name.startswith(_OF_LENGTHS)
    length = sa.case((of_lengths, metric_rows.c.until - metric_rows.c.since), else_=0)
    ends = (
        sa.select(metric_rows.c.name, length.label("length"), sa.func.max(metric_rows.c.until).label("until"))
        .where(metric_rows.c.harm == harm, *_shown(now))
        .group_by(metric_rows.c.name, length)
        .subquery()
    )
    same = (metric_rows.c.name == ends.c.name) & (length == ends.c.length) & (metric_rows.c.until == ends.c.until)
    query = (
        sa.select(*_COLUMNS)
        .join(ends, same)
        .where(metric_rows.c.harm == harm)
        .order_by(metric_rows.c.name, metric_rows.c.slice, metric_rows.c.since)
    )
    return [MetricRow(*row) for row in connection.execute(query)]


def history(connection: Connection, row: MetricRow, *, days: int = 14) -> list[MetricRow]:
    """The same value a day ago, two days ago, and so on, oldest first; it is the last of them."""
    ends = [row.until - day * clock.DAY for day in range(days)]
    query = (
        sa.select(*_COLUMNS)
        .where(metric_rows.c.harm == row.harm, metric_rows.c.name == row.name, metric_rows.c.slice == row.slice)
        .where(metric_rows.c.until.in_(ends), metric_rows.c.value.is_not(None))
        .where(metric_rows.c.until - metric_rows.c.since == row.until - row.since)
        .order_by(metric_rows.c.until, metric_rows.c.n)
    )
    # Around a promotion, a window has a value for each version.
    return list({found.until: found for found in (MetricRow(*one) for one in connection.execute(query))}.values())


def preferred(rows: Iterable[MetricRow]) -> MetricRow | None:
    """Of rows of one metric and slice, the one to show: of the newest window; of drift, of the newest of a day.

    A day of a version that a later window isn't about says nothing about the one that serves now.

    >>> row = MetricRow("spam", "3", "", 0, 0, "drift.score", 0.1, None, None, 9, "")
    >>> rows = [row._replace(since=-hours * clock.HOUR) for hours in (6, 24, 72)]
    >>> preferred(rows).since == -clock.DAY
    True
    """
    found = list(rows)
    best = max(found, key=_preference, default=None)
    if best is None or all(row.until <= best.until or row.version == best.version for row in found):
        return best
    end = max(row.until for row in found)
    serving = {row.version for row in found if row.until == end}
    return max((row for row in found if row.version in serving), key=_preference)


def says_yes(row: MetricRow) -> bool:
    """Whether a value that is yes or no is yes."""
    return row.value is not None and row.value >= 0.5


def _newest(connection: Connection, harm: str, figure: Figure, now: Micros) -> MetricRow | None:
    found: list[MetricRow] = []
    for slice_ in figure.slices:
        of = (metric_rows.c.harm == harm) & (metric_rows.c.name == figure.name) & (metric_rows.c.slice == slice_)
        query = sa.select(*_COLUMNS).where(of, *_shown(now)).order_by(metric_rows.c.until.desc()).limit(_NEWEST)
        if (one := preferred(MetricRow(*row) for row in connection.execute(query))) is not None:
            found.append(one)
    # An earlier window says nothing about today, even if only that one had enough to measure a slice.
    last = max((row.until for row in found), default=0)
    newest = [row for row in found if row.until == last]
    return next((row for row in newest if row.value is not None), newest[0] if newest else None)


def _shown(now: Micros) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Conditions on windows that say something about now: they ended lately, or are those of the current hour."""
    return metric_rows.c.until > now - SHOWN_FOR, metric_rows.c.until <= now + clock.HOUR


def _preference(row: MetricRow) -> tuple[bool, Micros, Micros, int]:
    length = row.until - row.since
    return length == clock.DAY and row.name.startswith(_OF_LENGTHS), row.until, length, row.n
