"""The job `inputs`: inputs that are missing, stuck or out of range more often than is usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.estimates.intervals import Interval, clopper_pearson
from leads.estimates.slices import slice_of
from monitoring.summaries.reference import any_time
from monitoring.summaries.sketch import EMPTY, Sketch
from monitoring.summaries.summary import merge
from monitoring.watch.jobs import HOURLY, Job
from monitoring.watch.values import measured
from monitoring.watch.world import Hour, World

MISSING, STUCK, OUTSIDE = "inputs.missing", "inputs.stuck", "inputs.out_of_range"

Shares = npt.NDArray[np.float64]

# One-sided: 120 columns of a harm have a million hours a year.
_ALPHA = 1e-7
_FEWEST_ROWS = 30
# What is usual: the median over the last days, so that a fault isn't until it has lasted for half of them.
_USUAL_DAYS = 7
_FEWEST_HOURS = 12
# With more subjects than this multiple of the usual number, new kinds of subjects may have come.
_WAVE = 1.3
# Columns that nearly everyone has the same value of say nothing when everyone has; and what is nearly everyone.
_RARE, _EVERYONE = 0.98, 0.98
# Values are out of range that are beyond all usual ones by more than this many buckets: a factor of about 2.
_BEYOND = 9
# Values this low are only written down while a column has lately had higher ones.
_NOTABLE = 0.02
_LATELY: Micros = 6 * clock.HOUR


@dataclass(frozen=True)
class _Before:
    """A column in each of h earlier hours: rows without a value, rows, and rows with the most common value."""

    missing: Shares
    rows: Shares
    most: Shares

    def daily(self, hits: Shares, of: Shares) -> float:
        """The median over days of the share of hits; NaN without rows."""
        shares = [
            hits[start : start + 24].sum() / n
            for start in range(0, len(of), 24)
            if (n := of[start : start + 24].sum()) >= _FEWEST_ROWS
        ]
        return float(np.median(shares)) if shares else float("nan")

    def clumps(self, hits: Shares, of: Shares, share: float) -> float:
        """The design effect of an hour's share of hits: how much more it varies than that of independent rows."""
        variance = (of * share * (1 - share)).sum()
        return max(1.0, float(((hits - of * share) ** 2).sum() / variance)) if variance else 1.0


class _Found(NamedTuple):
    name: str
    value: Interval
    n: int
    method: str


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """Measure the inputs of the champion's predictions in the hour that ends at `until`, or so far."""
    since = until - clock.HOUR
    hours = world.hours(harm, since, until)
    if not hours:
        return []
    version = max(hours, key=lambda one: one.summary.rows).version
    now = merge(one.summary for one in hours)
    if now.rows < _FEWEST_ROWS:
        return []
    before = _comparable(world, harm, since, version)
    if not before:
        return []
    elapsed = min(1.0, (world.now - since) / clock.HOUR)
    usual_rows = elapsed * _usual_rows(before, since)
    lately = {
        (row.name, row.slice)
        for row in world.earlier((MISSING, STUCK, OUTSIDE), harm, since - _LATELY, since)
        if (row.value or 0) >= _NOTABLE
    }
    rows = []
    for column in world.input_names(harm, version) or ():
        slice_ = slice_of(column=column)
        earlier = [hour.summary.columns.get(column, EMPTY) for hour in before]
        for one in _measured(now.columns.get(column, EMPTY), earlier):
            if one.value.value < _NOTABLE and (one.name, slice_) not in lately:
                continue
            value = one.value
            wave = one.name == MISSING and now.rows > _WAVE * usual_rows
            if wave and _explained_by_a_wave(now.columns[column], before, column, elapsed):
                value = value._replace(lo=min(value.lo, 0.0))
            rows.append(
                measured(harm, since, until, one.name, value, one.n, one.method, slice_=slice_, version=version)
            )
    return rows


def _comparable(world: World, harm: str, since: Micros, version: str) -> list[Hour]:
    """The hours of the version that predicts now, if they are a day; else those of all versions.

    On a platform that has just begun, the reference sample of the version stands for an hour.
    """
    hours = world.hours(harm, since - _USUAL_DAYS * clock.DAY, since)
    own = [one for one in hours if one.version == version]
    if len(own) >= 24 or len(hours) >= _FEWEST_HOURS:
        return own if len(own) >= 24 else hours
    reference = world.reference(harm, version)
    return [] if reference is None else [Hour(since, version, one) for one in reference.parts("", any_time).values()]


def _usual_rows(before: Sequence[Hour], since: Micros) -> float:
    """The number of subjects in this hour of earlier days; of all hours, if there are none."""
    by_hour: dict[Micros, int] = {}
    for one in before:
        by_hour[one.hour] = by_hour.get(one.hour, 0) + one.summary.rows
    same = [n for hour, n in by_hour.items() if (since - hour) % clock.DAY == 0]
    return float(np.median(same or list(by_hour.values())))


def _explained_by_a_wave(now: Sketch, before: Sequence[Hour], column: str, elapsed: float) -> bool:
    """Whether as many subjects have a value as usual, so that those without one came in addition."""
    usual = float(np.median([one.summary.columns[column].n for one in before if column in one.summary.columns] or [0]))
    return now.n >= 0.8 * elapsed * usual


def _measured(now: Sketch, before: Sequence[Sketch]) -> list[_Found]:
    old = _Before(
        np.array([float(one.missing) for one in before]),
        np.array([float(one.rows) for one in before]),
        np.array([float(one.counts.max()) if len(one.counts) else 0.0 for one in before]),
    )
    return [one for one in (_missing(now, old), _stuck(now, old), _outside(now, before)) if one is not None]


def _missing(now: Sketch, old: _Before) -> _Found | None:
    usual = old.daily(old.missing, old.rows)
    if not np.isfinite(usual) or now.rows < _FEWEST_ROWS:
        return None
    clumps = min(old.clumps(old.missing, old.rows, usual), now.rows / 5)
    share = clopper_pearson(now.missing / clumps, now.rows / clumps, confidence=1 - 2 * _ALPHA)
    method = (
        f"share - median share of the last days; Clopper-Pearson, one-sided alpha {_ALPHA:g}, variance x {clumps:.1f}"
    )
    return _Found(MISSING, Interval(*(x - usual for x in share)), now.rows, method)


def _stuck(now: Sketch, old: _Before) -> _Found | None:
    known = old.rows - old.missing
    usual = old.daily(old.most, known)
    if not np.isfinite(usual) or usual > _RARE or now.n < _FEWEST_ROWS:
        return None
    clumps = min(old.clumps(old.most, known, usual), now.n / 5)
    share = clopper_pearson(now.counts.max() / clumps, now.n / clumps, confidence=1 - 2 * _ALPHA)
    lost = Interval(*((x - usual) / (1 - usual) for x in share))
    if share.value < _EVERYONE:
        lost = lost._replace(lo=min(lost.lo, 0.0))
    method = (
        f"share of the usual variety that is gone; Clopper-Pearson, one-sided alpha {_ALPHA:g}, variance x {clumps:.1f}"
    )
    return _Found(STUCK, lost, now.n, method)


def _outside(now: Sketch, before: Sequence[Sketch]) -> _Found | None:
    keys = [one.keys for one in before if len(one.keys)]
    if not keys or now.n < _FEWEST_ROWS:
        return None
    low, high = min(int(one[0]) for one in keys) - _BEYOND, max(int(one[-1]) for one in keys) + _BEYOND
    n = int(now.counts[(now.keys < low) | (now.keys > high)].sum())
    return _Found(
        OUTSIDE, clopper_pearson(n, now.n), now.n, "share of values beyond twice the usual range; Clopper-Pearson"
    )


INPUTS = Job("inputs", HOURLY, measure, provisional=True)
