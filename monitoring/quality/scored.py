"""The jobs `predictions`, `worker` and `queue`: whether subjects are scored, in time, and leads are reviewed."""

from __future__ import annotations

import numpy as np

from leads import clock
from leads.clock import Micros
from leads.db.model_changes import CANARY, CHAMPION
from leads.db.monitoring.rows import MetricRow
from monitoring.quality.usual import HISTORY, HISTORY_HOURS, Counts, missing
from monitoring.watch.jobs import HOURLY, Job
from monitoring.watch.values import measured
from monitoring.watch.world import World

VOLUME, MISSING, GAP = "predictions.volume", "predictions.missing", "predictions.gap_h"
LAG, OLDEST = "predictions.lag_s", "queue.oldest_h"


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """The predictions that answered requests or opened leads in the hour that ends at `until`."""
    since = until - clock.HOUR
    counts = _counts(world, harm, since, until)
    if not np.isfinite(counts).any():
        return []
    n = int(counts[-1])
    gap = len(counts) - 1 - int(np.flatnonzero(np.nan_to_num(counts) > 0)[-1])
    rows = [
        measured(harm, since, until, VOLUME, float(n), n, "number of predictions"),
        measured(harm, since, until, GAP, float(gap), n, "whole hours since the last hour with predictions"),
    ]
    found = missing(counts)
    if found is not None:
        begins = until - found.hours * clock.HOUR
        rows.append(measured(harm, begins, until, MISSING, found.found, found.n, found.method))
    return rows


def _counts(world: World, harm: str, since: Micros, until: Micros) -> Counts:
    """(h,) predictions by champions and canaries in each hour; NaN before the first hour with any."""
    first = since - HISTORY
    counts = np.zeros(HISTORY_HOURS + 1)
    for role in (CHAMPION, CANARY):
        for one in world.hours(harm, first, until, role=role):
            counts[(one.hour - first) // clock.HOUR] += one.summary.predictions
    active = np.flatnonzero(counts)
    counts[: active[0] if len(active) else len(counts)] = np.nan
    return counts


def measure_lag(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """How long the oldest event has waited for a worker, at the last look in the hour."""
    since = until - clock.HOUR
    if not since <= world.now < until:
        return _looked_at(world, LAG, harm, until)
    if not any(world.hours(one, since - clock.DAY, until) for one in world.policies.harms):
        # Without a champion nothing is scored, and a history that is read in for the first time isn't late.
        return []
    waiting = world.waiting_events()
    lag = 0.0 if waiting is None else max(0.0, (world.now - waiting.since) / clock.SECOND)
    n = 0 if waiting is None else waiting.events
    return [measured(harm, since, until, LAG, lag, n, "age of the oldest event that no worker has scored")]


def measure_queue(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """How long the oldest open lead has waited, at the last look in the hour."""
    since = until - clock.HOUR
    if not since <= world.now < until:
        return _looked_at(world, OLDEST, harm, until)
    oldest = world.oldest_lead(harm)
    age = 0.0 if oldest is None else max(0.0, (world.now - oldest) / clock.HOUR)
    return [measured(harm, since, until, OLDEST, age, 0 if oldest is None else 1, "age of the oldest open lead")]


def _looked_at(world: World, name: str, harm: str, until: Micros) -> list[MetricRow]:
    """What was measured in an hour that is over. Nobody can look at it again."""
    return [row for row in world.earlier((name,), harm, until - 1, until) if row.until == until]


PREDICTIONS = Job("predictions", HOURLY, measure)
WORKER = Job("worker", HOURLY, measure_lag, of_platform=True, provisional=True)
QUEUE = Job("queue", HOURLY, measure_queue, provisional=True)
