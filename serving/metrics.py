"""Counters for Prometheus, added up over the workers of one instance. Labels are route templates, never raw paths."""

from __future__ import annotations

import os
from collections import Counter as Tally
from functools import cache
from typing import TYPE_CHECKING

from serving.answers import Scored

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Own counters. prometheus_client is imported here, not before: BentoML has set its folder by then."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Histogram

        self._registry = registry
        self._requests = Counter(
            "leads_http_requests_total", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "leads_http_request_seconds", "Time to the whole answer.", ("route",), buckets=_BUCKETS, registry=registry
        )
        self._scores = Counter("leads_scores_total", "Subjects scored.", ("harm", "version", "tier"), registry=registry)
        self._unscored = Counter(
            "leads_scores_failed_total", "Subjects that could not be scored.", ("error",), registry=registry
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def scored(self, scored: Scored) -> None:
        """Count what scoring answered."""
        for group in scored.groups:
            version = group.group.version
            for tier, n in Tally(group.tiers).items():
                self._scores.labels(version.harm, version.version, tier).inc(n)
        for label, n in Tally(type(entry.error).__name__ for entry in scored.errors).items():
            self._unscored.labels(label).inc(n)

    def text(self) -> bytes:
        """Prometheus' text format; with several workers, the sum over all of them."""
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess

        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


@cache
def process_metrics() -> Metrics:
    """The one set of counters of this process."""
    from prometheus_client import CollectorRegistry

    return Metrics(CollectorRegistry())
