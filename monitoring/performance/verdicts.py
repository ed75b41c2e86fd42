"""The job `verdicts`: whether reviewers decide otherwise than before at equal scores, as after a change of policy."""

from __future__ import annotations

import numpy as np

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.estimates.intervals import Interval
from leads.estimates.slices import slice_of
from monitoring.performance.labels import Labels, labels
from monitoring.watch.jobs import Job
from monitoring.watch.values import measured
from monitoring.watch.world import World

NAME = "drift.verdicts"
_EVERY: Micros = 12 * clock.HOUR
_WINDOW: Micros = 2 * clock.DAY
_BEFORE: Micros = 28 * clock.DAY
_FEWEST = 10
# Differences this small don't matter, and 99.9% of the larger ones that chance makes are below this many errors.
_SMALLEST, _ERRORS = 0.05, 3.3


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """Compare the two days up to `until` with the four weeks before them."""
    since = until - _WINDOW
    known = labels(world.decided(harm, since - _BEFORE, until).verdicts)
    now, before = known.where(known.at >= since), known.where(known.at < since)
    if now.worth < _FEWEST or before.worth < 2 * _FEWEST:
        return []
    moved = _mean_residual(now) - _mean_residual(before)
    error = float(np.hypot(_error(now), _error(before)))
    size, chance = abs(moved), max(_SMALLEST, _ERRORS * error)
    method = (
        f"mean of verdict - score, {moved:+.3f} against the four weeks before; lo = value - {chance:.3f}, the larger "
        f"of {_SMALLEST:g} and {_ERRORS:g} standard errors; only reviewed leads"
    )
    found = Interval(size, size - chance, size + chance)
    slice_, n = slice_of(against="before"), len(now)
    return [measured(harm, since, until, NAME, found, n, method, slice_=slice_, version=now.version)]


def _mean_residual(some: Labels) -> float:
    return float((some.violating - some.scores).mean())


def _error(some: Labels) -> float:
    """The standard error of the mean residual. One label of each kind is added, so that it is never 0."""
    share = (some.violating.sum() + 1) / (len(some) + 2)
    spread = max(float((some.violating - some.scores).var()), float(share * (1 - share)) / 4)
    return float(np.sqrt(spread / some.worth))


VERDICTS = Job("verdicts", _EVERY, measure)
