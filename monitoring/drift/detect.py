"""Drift: has what a version sees, or says, moved away from the reference it was registered with?

A window drifted when the score did, or at least a tenth of the inputs did; whether an input is missing counts as one
more input. Those that are the same constant on both sides can't drift and don't count. One drifted input alone is
often the platform growing older, and is shown without an alarm.

Measured on synthetic worlds of 28 columns (rare counts, heavy tails, shares, missing values, correlated copies)
against references of 5,000 rows, windows of the same world: with the fixed threshold of 0.1 some column exceeds it in
all windows of 100 or 200 rows, 78 % of 1,000 and 30 % of 5,000; with thresholds raised to what chance reaches, in 2 %,
2 %, 3 % and 0 %, and a tenth of the columns never did. On a small simulated platform (10 days, windows of 200 to 420
subjects) a day like those before gave 0 of 26 inputs for spam and 0 of 16 for stream manipulation, a day with a new
campaign and adapted farms 10 of 27 and 2 of 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leads import clock
from leads.clock import Micros
from leads.errors import NotEnoughData
from leads.policies import Policies
from leads.settings import Settings
from monitoring.drift import report, statistics, window
from monitoring.drift.statistics import METHOD, Values
from monitoring.drift.window import SCORE, Registry, Sample, Window

MIN_ROWS = 100
DRIFTED_SHARE = 0.1


class Summary(NamedTuple):
    """A column on one side: mean, median and 95th percentile of the values that aren't missing (NaN when all are)."""

    mean: float
    median: float
    p95: float
    missing: float


@dataclass(frozen=True)
class ColumnDrift:
    """One column's verdict: it drifted when `statistic` exceeds `threshold`.

    Args:
        name: the input's name, `<name> is missing`, or `score`.
        statistic: NaN when one side has no values to compare.
    """

    name: str
    method: str
    statistic: float
    threshold: float
    reference: Summary
    current: Summary

    @property
    def drifted(self) -> bool:
        return self.statistic > self.threshold


@dataclass(frozen=True)
class DriftResult:
    """What `drift` found. `columns` are the inputs that could drift, the most drifted first; times are µs since epoch.

    Args:
        predictions: logged in the window; `rows`: subjects among them, each with its latest prediction.
        report: Evidently's HTML page.
        unreadable: segments of the prediction log that had to be left out.
    """

    harm: str
    version: str
    since: Micros
    until: Micros
    predictions: int
    rows: int
    reference_rows: int
    score: ColumnDrift
    columns: tuple[ColumnDrift, ...]
    report: Path
    unreadable: int

    @property
    def drifted_columns(self) -> tuple[ColumnDrift, ...]:
        return tuple(column for column in self.columns if column.drifted)

    @property
    def share(self) -> float:
        """The share of the inputs that drifted."""
        return len(self.drifted_columns) / max(1, len(self.columns))

    @property
    def drifted(self) -> bool:
        """The verdict."""
        return self.score.drifted or self.share >= DRIFTED_SHARE


def drift(
    settings: Settings,
    policies: Policies,
    harm: str,
    *,
    since: Micros | None = None,
    until: Micros | None = None,
    length: Micros = clock.DAY,
    min_rows: int = MIN_ROWS,
    registry: Registry | None = None,
) -> DriftResult:
    """Compare the champion's reference with a window of its predictions, and write Evidently's report.

    Args:
        since: first instant of the window; `until`: the instant after it. Without them the window is the last
            `length` µs before the newest prediction.
        min_rows: fewer subjects than this on a side give no verdict.
        registry: where versions are; default: the settings' one.

    Raises:
        NotFound: no such harm, or it has no champion.
        NotEnoughData: too few subjects on one of the sides.
        ModelRefused: the reference can't be read, or doesn't fit the logged vectors.
        Unavailable: the registry doesn't answer.
    """
    policies.harm(harm)
    if registry is None:
        from models.registry.registry import Registry as MlflowRegistry

        registry = MlflowRegistry(settings)
    version = window.champion(registry, harm)
    reference = window.read_reference(settings, registry, harm, version)
    current = window.read_window(settings, harm, version, reference.names, since=since, until=until, length=length)
    _enough(len(reference.rows), f"The reference of {harm} version {version}", min_rows)
    _enough(len(current.sample.rows), f"The window of {harm} version {version}", min_rows)
    return _compare(settings, harm, version, reference, current)


def _enough(rows: int, what: str, min_rows: int) -> None:
    if rows < min_rows:
        raise NotEnoughData(
            f"{what} holds {rows} subjects; a verdict needs {min_rows}.",
            field="harm",
            remedy="Wait for more predictions, or look at a longer window: --days.",
        )


def _compare(settings: Settings, harm: str, version: str, reference: Sample, current: Window) -> DriftResult:
    before, after = _comparable(with_missing(reference), with_missing(current.sample))
    columns = _columns(before, after)
    page = settings.reports_dir / "drift" / harm / f"{version}-{_compact(current.since)}-{_compact(current.until)}.html"
    thresholds = {column.name: column.threshold for column in columns}
    report.write(page, before, after, thresholds, drifted_share=DRIFTED_SHARE)
    return DriftResult(
        harm=harm,
        version=version,
        since=current.since,
        until=current.until,
        predictions=current.predictions,
        rows=len(current.sample.rows),
        reference_rows=len(reference.rows),
        score=next(column for column in columns if column.name == SCORE),
        columns=tuple(sorted((c for c in columns if c.name != SCORE), key=_excess, reverse=True)),
        report=page,
        unreadable=current.unreadable,
    )


def _columns(before: Sample, after: Sample) -> list[ColumnDrift]:
    pairs = list(zip(before.rows.T, after.rows.T, strict=True))
    distances = np.array([statistics.distance(_known(a), _known(b)) for a, b in pairs])
    limits = np.full(len(distances), statistics.THRESHOLD)
    # Nothing that stays below the lowest threshold can exceed a raised one.
    if (distances > limits).any():
        limits = statistics.thresholds(before.rows, after.rows)
    return [
        ColumnDrift(name, METHOD, float(distance), float(limit), _summary(a), _summary(b))
        for name, distance, limit, (a, b) in zip(before.names, distances, limits, pairs, strict=True)
    ]


def with_missing(sample: Sample) -> Sample:
    """The sample's columns, and behind them for each a column that is 1 where its value is missing."""
    missing = np.isnan(sample.rows).astype(np.float64)
    names = (*sample.names, *(f"{name} is missing" for name in sample.names))
    return Sample(names, np.hstack([sample.rows, missing]))


def _comparable(reference: Sample, current: Sample) -> tuple[Sample, Sample]:
    """Without columns that hold the same constant on both sides, or nothing on one; the score always stays."""
    kept = [j for j, name in enumerate(reference.names) if name == SCORE or _varies(reference, current, j)]
    names = tuple(reference.names[j] for j in kept)
    return Sample(names, reference.rows[:, kept]), Sample(names, current.rows[:, kept])


def _varies(reference: Sample, current: Sample, column: int) -> bool:
    before, after = _known(reference.rows[:, column]), _known(current.rows[:, column])
    if not len(before) or not len(after):
        return False
    return bool(min(before.min(), after.min()) < max(before.max(), after.max()))


def _summary(column: Values) -> Summary:
    known = _known(column)
    missing = 1 - len(known) / len(column)
    if not len(known):
        return Summary(float("nan"), float("nan"), float("nan"), missing)
    median, p95 = np.quantile(known, (0.5, 0.95))
    return Summary(float(known.mean()), float(median), float(p95), missing)


def _known(column: Values) -> Values:
    kept: Values = column[~np.isnan(column)]
    return kept


def _excess(column: ColumnDrift) -> float:
    return column.statistic / column.threshold


def _compact(at: Micros) -> str:
    return clock.to_datetime(at).strftime("%Y%m%dT%H%M%SZ")
