"""Prometheus metrics, summed over the API processes of an instance.

Label values are route templates, harms and fixed words; never paths, ids, or anything a caller can choose. Values of
one call are tallied first and then added once per set of labels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from leads.alerting.rules import RULES
from serving.observe import event_lags
from serving.observe.families import Family
from serving.observe.metrics_text import text_of
from serving.observe.monitoring_metrics import MonitoringMetrics
from serving.scoring.results import GroupScores, ScoringResult
from serving.scoring.stages import Stage

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_T = TypeVar("_T")
_NOTHING: Mapping[str, int] = MappingProxyType({})
_NO_PAIRS: Mapping[tuple[str, str], int] = MappingProxyType({})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGE_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, *_SECONDS)
_SCORES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_AGES = (1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0, 604_800.0, 2_592_000.0)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# At least this many values are sorted into buckets faster with NumPy.
_MIN_FOR_NUMPY = 60
# So many observations wait at most, so that adding them doesn't hold up a request noticeably.
_MAX_WAITING = 500


class Snapshot(NamedTuple):
    """The current state of an API process.

    Args:
        predictions_waiting: predictions not yet written.
        predictions_dropped, predictions_write_failures, store_errors: totals since the process started.
        store_open: whether the circuit breaker blocks look-ups in the online store.
        shadow_waiting: rows waiting to be scored in shadow.
        shadow_rows: total rows of shadow scoring, by outcome.
        canary_calls: calls that a canary took part in, by harm and outcome; reset with each trial.
        retreats: by harm, 1 if the published canary has retreated, else 0.
        refusals: number of versions currently refused, by harm.
        versions: the loaded versions, as (harm, role, version).
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


class Metrics:
    """The metrics of this process.

    Thread-safe, except `update`, which only one thread may call. prometheus_client is imported late, because BentoML
    sets its folder first.

    Counters change at once. What histograms observe waits until there is more of it, at most until the next `update` or
    `text`: added one by one, the observations would take longer than the rest of what a request does for its metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._observed: deque[tuple[Histogram, float]] = deque()
        self.labels: dict[str, tuple[str, ...]] = {}
        counter, histogram = self._counter, self._histogram
        summed, most = partial(self._gauge, "livesum"), partial(self._gauge, "livemax")
        self._requests = counter("leads_http_requests_total", "HTTP requests finished.", "method", "route", "status")
        self._seconds = histogram(
            "leads_http_request_seconds", "Time from request to complete response, in seconds.", _SECONDS, "route"
        )
        self._inflight = summed("leads_inflight_requests", "HTTP requests in progress.")()
        self._limited = counter("leads_rate_limited_total", "Requests refused by a rate limit.", "limit")
        self._closed = counter("leads_connections_closed_total", "Connections closed over a limit.", "limit")
        self._stages = histogram(
            "leads_stage_seconds", "Time per stage of a scoring call, in seconds.", _STAGE_SECONDS, "stage"
        )
        self._scores = counter("leads_scores_total", "Subjects scored.", "harm", "role", "tier")
        self._unscored = counter("leads_scores_failed_total", "Subjects that could not be scored.", "error")
        self._score = histogram("leads_score", "Calibrated scores.", _SCORES, "harm", "role")
        self._ages = histogram(
            "leads_feature_age_seconds", "Age of the oldest feature row behind a score, in seconds.", _AGES, "harm"
        )
        # The workers observe it, each in its own process.
        histogram(event_lags.NAME, event_lags.WHAT, event_lags.BUCKETS)()
        self._degraded = counter("leads_degraded_total", "Scores with a degraded flag.", "harm", "flag")
        self._versions = summed(
            "leads_model_version", "Processes that have a version loaded.", "harm", "role", "version"
        )
        self._refusals = most("leads_model_refusals", "Model versions currently refused.", "harm")
        self._retreats = most("leads_canary_retreated", "1 if the published canary has retreated, else 0.", "harm")
        self._canary = counter(
            "leads_canary_calls_total", "Scoring calls that a canary took part in.", "harm", "outcome"
        )
        self._shadow = counter("leads_shadow_rows_total", "Rows of shadow scoring.", "outcome")
        self._shadow_waiting = summed("leads_shadow_waiting", "Rows waiting to be scored in shadow.")()
        self._waiting = summed("leads_predictions_waiting", "Predictions waiting to be written.")()
        self._dropped = counter("leads_predictions_dropped_total", "Predictions dropped before they were written.")
        self._failures = counter("leads_predictions_write_failures_total", "Failed writes to the prediction log.")
        self._open = most("leads_store_circuit_open", "1 if the circuit breaker of the online store is open, else 0.")()
        self._store_errors = counter("leads_store_errors_total", "Failed look-ups in the online store.")
        self._leads = most("leads_queue_leads", "Leads in the queue.", "harm", "state")
        self._oldest = most("leads_queue_oldest_open_seconds", "Age of the oldest open lead, in seconds.", "harm")
        self._expiring = most("leads_api_keys_expiring", "API keys that expire within 14 days and were not rotated.")()
        self._stored = most("leads_stored_bytes", "Bytes of all files of a kind in the home, once a day.", "kind")
        self._deleted = most("leads_pruned_bytes", "Bytes of old data that were deleted the last time.", "kind")
        self._pruned_at = most("leads_pruned_timestamp_seconds", "When old data were last deleted.")
        self._prune_failures = most("leads_prune_failures", "Kinds of old data that could not be deleted.")
        self.monitoring = MonitoringMetrics(partial(self._gauge, "livemostrecent"), RULES)
        self._counted: dict[tuple[Family[Counter], tuple[str, ...]], int] = {}

    def request_started(self) -> None:
        """Count a request as in progress, until `request_finished`."""
        self._inflight.inc()

    def request_finished(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a finished request and observe its time in seconds."""
        self._inflight.dec()
        self._requests(method if method in _METHODS else "other", route, str(status)).inc()
        self._observed.append((self._seconds(route), seconds))
        if len(self._observed) >= _MAX_WAITING:
            self._add_observed()

    def rate_limited(self, limit: str) -> None:
        """Count a request refused by a rate limit: `key` or `unknown_keys`."""
        self._limited(limit).inc()

    def connection_closed(self, limit: str) -> None:
        """Count a connection closed for what it sent, or didn't send, around its requests."""
        self._closed(limit).inc()

    def observe_stages(self, done: Iterable[Stage]) -> None:
        """Observe the times of a scoring call's stages."""
        self._observed.extend((self._stages(stage.name), stage.seconds) for stage in done)

    def count_scores(self, scored: ScoringResult) -> None:
        """Count the scores and errors of a scoring call."""
        for group in scored.groups:
            self._group(group)
        for error, n in _tally([type(entry.error).__name__ for entry in scored.errors]):
            self._unscored(error).inc(n)

    def update(self, now: Snapshot) -> None:
        """Set the metrics to the current state of this process. Called about once a second."""
        self._add_observed()
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

    def update_queue(self, leads: Mapping[tuple[str, str], int], oldest_s: Mapping[str, float]) -> None:
        """Set the depth of the queue, by harm and state, and the age of each harm's oldest open lead.

        All processes measure the same queue, so the metrics are the highest of their values, not the sum.
        """
        for labels, n in leads.items():
            self._leads(*labels).set(n)
        for harm, age in oldest_s.items():
            self._oldest(harm).set(age)

    def update_keys(self, expiring: int) -> None:
        """Set the number of keys that expire soon. All processes count the same keys, as in `update_queue`."""
        self._expiring.set(expiring)

    def update_storage(self, at_s: float, stored: Mapping[str, int], deleted: Mapping[str, int], failures: int) -> None:
        """Set what the home stores, and what was deleted the last time, by kind of data; `at_s` is when, or 0."""
        self._pruned_at().set(at_s)
        self._prune_failures().set(failures)
        for family, by_kind in ((self._stored, stored), (self._deleted, deleted)):
            for kind, size in by_kind.items():
                family(kind).set(size)

    def text(self, harms: Collection[str] | None = None) -> bytes:
        """The metrics in Prometheus' text format, summed over all processes of the instance. Blocks.

        Args:
            harms: leave out the series of all other harms; None: none.
        """
        self._add_observed()
        return text_of(self._registry, harms)

    def _add_observed(self) -> None:
        """Add what waits to the histograms."""
        values: dict[Histogram, list[float]] = {}
        with suppress(IndexError):
            while True:
                histogram, value = self._observed.popleft()
                values.setdefault(histogram, []).append(value)
        for histogram, several in values.items():
            _observe(histogram, several)

    def _group(self, group: GroupScores) -> None:
        harm, role = group.group.version.harm, group.group.role
        score, ages = self._score(harm, role), self._ages(harm)
        self._observed.extend((score, value) for value in group.scores)
        self._observed.extend((ages, age) for age in group.ages_s if age is not None)
        for tier, n in _tally(group.tiers):
            self._scores(harm, role, tier).inc(n)
        flagged: dict[str, int] = {}
        for flags, n in _tally(group.degraded):
            for flag in flags:
                flagged[flag] = flagged.get(flag, 0) + n
        for flag, n in flagged.items():
            self._degraded(harm, flag).inc(n)

    def _total(self, family: Family[Counter], labels: tuple[str, ...], total: int) -> None:
        before = self._counted.get((family, labels), 0)
        # A total smaller than before was reset in between.
        family(*labels).inc(total - before if total >= before else total)
        self._counted[family, labels] = total

    def _counter(self, name: str, what: str, *labels: str) -> Family[Counter]:
        from prometheus_client import Counter

        self.labels[name] = labels
        made = Counter(name, what, labels, registry=self._registry)
        return Family(made.labels if labels else lambda: made)

    def _histogram(self, name: str, what: str, buckets: Sequence[float], *labels: str) -> Family[Histogram]:
        from prometheus_client import Histogram

        self.labels[name] = labels
        made = Histogram(name, what, labels, buckets=buckets, registry=self._registry)
        return Family(made.labels if labels else lambda: made)

    def _gauge(self, mode: str, name: str, what: str, *labels: str) -> Family[Gauge]:
        from prometheus_client import Gauge

        self.labels[name] = labels
        made = Gauge(name, what, labels, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]
        return Family(made.labels if labels else lambda: made)


def _tally(values: Sequence[_T]) -> list[tuple[_T, int]]:
    """How often each value occurs, for few different ones; `collections.Counter` takes longer to make."""
    return [(value, values.count(value)) for value in dict.fromkeys(values)]


def _observe(child: Histogram, values: Sequence[float]) -> None:
    """Observe many values at once. prometheus_client can't, so this fills its buckets the way `observe` does."""
    bounds = child._upper_bounds
    if len(values) < _MIN_FOR_NUMPY:
        counts: Mapping[int, int] = Tally(bisect_left(bounds, value) for value in values)
    else:
        filled = np.bincount(np.searchsorted(bounds, values))
        counts = {place: int(filled[place]) for place in np.flatnonzero(filled).tolist()}
    child._sum.inc(sum(values))
    for place, n in counts.items():
        child._buckets[place].inc(n)


@cache
def process_metrics() -> Metrics:
    """The metrics of this process, created once."""
    from prometheus_client import CollectorRegistry

    return Metrics(CollectorRegistry())
