"""Metrics for Prometheus, added up over the workers of one instance.

Labels hold route templates, harms and words of our own; never a path, an id, or what a caller may choose. What is
counted per call is tallied first and added once per set of labels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

from serving.observe.metrics_text import text_of
from serving.scoring.results import GroupScores, ScoringResult
from serving.scoring.stages import Stage

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_M = TypeVar("_M")
_NOTHING: Mapping[str, int] = MappingProxyType({})
_NO_PAIRS: Mapping[tuple[str, str], int] = MappingProxyType({})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGE_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, *_SECONDS)
_SCORES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_AGES = (1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0, 604_800.0, 2_592_000.0)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# From so many values on, sorting them into buckets at once is faster than one by one.
_MANY = 60


class Snapshot(NamedTuple):
    """State of a process's parts, as of now.

    Args:
        predictions_waiting: predictions not yet written.
        predictions_dropped, predictions_write_failures, store_errors: totals since the process started.
        store_open: whether the circuit breaker keeps look-ups from the online store.
        shadow_waiting: rows that wait for their work in shadow.
        shadow_rows: total of rows for work in shadow, by what became of them.
        canary_calls: calls of which a canary had a share, by harm and outcome; they begin anew with each trial.
        retreats: 1 where the published canary has retreated, by harm.
        refusals: how many versions are refused now, by harm.
        versions: the loaded versions: harm, role, version.
    """

    predictions_waiting: int = 0
    predictions_dropped: int = 0
    predictions_write_failures: int = 0
    store_open: bool = False
    store_errors: int = 0
    shadow_rows: Mapping[str, int] = _NOTHING
    shadow_waiting: int = 0
    canary_calls: Mapping[tuple[str, str], int] = _NO_PAIRS
    retreats: Mapping[str, int] = _NOTHING
    refusals: Mapping[str, int] = _NOTHING
    versions: frozenset[tuple[str, str, str]] = frozenset()


class _Family(Generic[_M]):
    """A metric's children by their labels; looking one up costs no lock."""

    __slots__ = ("_children", "_make")

    def __init__(self, make: Callable[..., _M]) -> None:
        self._make = make
        self._children: dict[tuple[str, ...], _M] = {}

    def __call__(self, *labels: str) -> _M:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._make(*labels) if labels else self._make()
        return child

    @property
    def seen(self) -> Iterable[tuple[str, ...]]:
        return tuple(self._children)


class Metrics:
    """This process's metrics. prometheus_client is imported here, not before: BentoML has set its folder by then.

    Thread-safe, but for `tick`, which belongs to one thread.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.labels: dict[str, tuple[str, ...]] = {}
        counter, histogram = self._counter, self._histogram
        summed, most = partial(self._gauge, "livesum"), partial(self._gauge, "livemax")
        self._requests = counter("leads_http_requests_total", "Requests answered.", "method", "route", "status")
        self._seconds = histogram("leads_http_request_seconds", "Time to the whole answer.", _SECONDS, "route")
        self._inflight = summed("leads_inflight_requests", "Requests being worked on.")()
        self._limited = counter("leads_rate_limited_total", "Requests turned away for coming too often.", "limit")
        self._stages = histogram("leads_stage_seconds", "Time of a scoring call's stages.", _STAGE_SECONDS, "stage")
        self._scores = counter("leads_scores_total", "Subjects scored.", "harm", "role", "tier")
        self._unscored = counter("leads_scores_failed_total", "Subjects that could not be scored.", "error")
        self._score = histogram("leads_score", "Calibrated scores.", _SCORES, "harm", "role")
        self._ages = histogram("leads_feature_age_seconds", "Age of the oldest row behind a score.", _AGES, "harm")
        self._degraded = counter("leads_degraded_total", "Scores that did without something.", "harm", "flag")
        self._versions = summed("leads_model_version", "Processes that hold a version.", "harm", "role", "version")
        self._refusals = most("leads_model_refusals", "Versions refused now.", "harm")
        self._retreats = most("leads_canary_retreated", "1 while the published canary has retreated.", "harm")
        self._canary = counter("leads_canary_calls_total", "Calls a canary had a share of.", "harm", "outcome")
        self._shadow = counter("leads_shadow_rows_total", "Rows for work in shadow.", "outcome")
        self._shadow_waiting = summed("leads_shadow_waiting", "Rows that wait for their work in shadow.")()
        self._waiting = summed("leads_predictions_waiting", "Predictions not yet written.")()
        self._dropped = counter("leads_predictions_dropped_total", "Predictions that were not logged.")
        self._failures = counter("leads_predictions_write_failures_total", "Failed writes of the prediction log.")
        self._open = most("leads_store_circuit_open", "1 while the online store is not asked.")()
        self._store_errors = counter("leads_store_errors_total", "Failed look-ups in the online store.")
        self._counted: dict[tuple[_Family[Counter], tuple[str, ...]], int] = {}

    def request_started(self) -> None:
        """A request came in; `request` is called once it is answered."""
        self._inflight.inc()

    def request_finished(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._inflight.dec()
        self._requests(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds(route).observe(seconds)

    def rate_limited(self, limit: str) -> None:
        """Count a request turned away by a rate limit: `key` or `unknown_keys`."""
        self._limited(limit).inc()

    def observe_stages(self, done: Iterable[Stage]) -> None:
        """Observe the stages of a scoring call."""
        for stage in done:
            self._stages(stage.name).observe((stage.ended - stage.began) / 1e9)

    def count_scores(self, scored: ScoringResult) -> None:
        """Count what scoring answered."""
        for group in scored.groups:
            self._group(group)
        for error, n in Tally(type(entry.error).__name__ for entry in scored.errors).items():
            self._unscored(error).inc(n)

    def update(self, now: Snapshot) -> None:
        """Take over the state of this process's parts; called about once a second."""
        self._waiting.set(now.predictions_waiting)
        self._open.set(float(now.store_open))
        self._total(self._dropped, (), now.predictions_dropped)
        self._total(self._failures, (), now.predictions_write_failures)
        self._total(self._store_errors, (), now.store_errors)
        for outcome, n in now.shadow_rows.items():
            self._total(self._shadow, (outcome,), n)
        self._shadow_waiting.set(now.shadow_waiting)
        for labels, n in now.canary_calls.items():
            self._total(self._canary, labels, n)
        for family, by_harm in ((self._refusals, now.refusals), (self._retreats, now.retreats)):
            for harm in {*by_harm, *(harm for (harm,) in family.seen)}:
                family(harm).set(by_harm.get(harm, 0))
        for version in {*now.versions, *self._versions.seen}:
            self._versions(*version).set(float(version in now.versions))

    def text(self) -> bytes:
        """Prometheus' text format; with several workers, the sum over all of them. Blocks."""
        return text_of(self._registry)

    def _group(self, group: GroupScores) -> None:
        harm, role = group.group.version.harm, group.group.role
        _observe(self._score(harm, role), group.scores)
        _observe(self._ages(harm), [age for age in group.ages_s if age is not None])
        for tier, n in Tally(group.tiers).items():
            self._scores(harm, role, tier).inc(n)
        flagged: Tally[str] = Tally()
        for flags, n in Tally(group.degraded).items():
            flagged.update(dict.fromkeys(flags, n))
        for flag, n in flagged.items():
            self._degraded(harm, flag).inc(n)

    def _total(self, family: _Family[Counter], labels: tuple[str, ...], total: int) -> None:
        before = self._counted.get((family, labels), 0)
        # A smaller total than before began anew.
        family(*labels).inc(total - before if total >= before else total)
        self._counted[family, labels] = total

    def _counter(self, name: str, what: str, *labels: str) -> _Family[Counter]:
        from prometheus_client import Counter

        self.labels[name] = labels
        made = Counter(name, what, labels, registry=self._registry)
        return _Family(made.labels if labels else lambda: made)

    def _histogram(self, name: str, what: str, buckets: Sequence[float], *labels: str) -> _Family[Histogram]:
        from prometheus_client import Histogram

        self.labels[name] = labels
        return _Family(Histogram(name, what, labels, buckets=buckets, registry=self._registry).labels)

    def _gauge(self, mode: str, name: str, what: str, *labels: str) -> _Family[Gauge]:
        from prometheus_client import Gauge

        self.labels[name] = labels
        made = Gauge(name, what, labels, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]
        return _Family(made.labels if labels else lambda: made)


def _observe(child: Histogram, values: Sequence[float]) -> None:
    """Like `observe` of each value. prometheus_client has no such call: this fills the buckets as its own does."""
    if not values:
        return
    bounds = child._upper_bounds
    if len(values) < _MANY:
        counts: Mapping[int, int] = Tally(bisect_left(bounds, value) for value in values)
    else:
        filled = np.bincount(np.searchsorted(bounds, values))
        counts = {place: int(filled[place]) for place in np.flatnonzero(filled).tolist()}
    child._sum.inc(sum(values))
    for place, n in counts.items():
        child._buckets[place].inc(n)


@cache
def process_metrics() -> Metrics:
    """The one set of metrics of this process."""
    from prometheus_client import CollectorRegistry

    return Metrics(CollectorRegistry())
