"""How long events take from their arrival until they count in scores.

A worker measures it. It keeps its metric in the folder of the instance that started it, whose API processes add it up.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

from leads import clock
from leads.clock import Micros

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Histogram

NAME = "leads_event_lag_seconds"
WHAT = "Time from an event's arrival until it counts in scores, in seconds."
BUCKETS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0)
# Arrivals are counted by this much, so that a backlog of millions takes a few thousand counts.
_STEP: Micros = clock.SECOND // 10


class EventLags:
    """The lags of one worker. Not thread-safe.

    Args:
        histogram: None: nobody reads it.
    """

    def __init__(self, histogram: Histogram | None) -> None:
        self._histogram = histogram
        self._waiting: Counter[Micros] = Counter()

    def arrived(self, visible_at: Micros) -> None:
        """Count an event that was folded, and whose rows aren't online yet."""
        if self._histogram is not None:
            self._waiting[visible_at // _STEP] += 1

    def online(self, now: Micros) -> None:
        """Observe the lags of all events that waited: they count in scores now."""
        if self._histogram is None or not self._waiting:
            return
        for at, n in self._waiting.items():
            lag = max(0.0, (now - at * _STEP) / clock.SECOND)
            # As `observe` does n times.
            self._histogram._sum.inc(lag * n)
            self._histogram._buckets[bisect_left(self._histogram._upper_bounds, lag)].inc(n)
        self._waiting.clear()


def worker_lags() -> EventLags:
    """Those of this process; nothing is measured unless an instance's API processes add them up."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return EventLags(None)
    from prometheus_client import CollectorRegistry

    return EventLags(histogram(CollectorRegistry()))


def histogram(registry: CollectorRegistry) -> Histogram:
    """The metric."""
    from prometheus_client import Histogram

    return Histogram(NAME, WHAT, buckets=BUCKETS, registry=registry)
