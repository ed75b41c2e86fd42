"""The work behind the routes of what monitoring measured: check the key, read, convert the result."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from leads import clock
from leads.alerting.rules import Severity
from leads.api.requests import instant, time_text
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.keys import ApiKey
from leads.db.monitoring import alerts, figures, listing, runs
from leads.db.monitoring.figures import VERDICT
from leads.db.monitoring.listing import MetricFilter
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.runs import Run
from leads.estimates.slices import slice_parts
from leads_client.schemas.measured import (
    AlertCountsOut,
    HarmSummaryOut,
    MetricOut,
    MetricsOut,
    MonitoringSummaryOut,
    MonitorRunOut,
    MonitorRunsOut,
)
from serving.http.access.harms import check_harm, shows
from serving.runtime import Runtime

_PLATFORM = ""


class MetricsRequest(NamedTuple):
    """Which values to list, as a caller writes it; None means no restriction."""

    harms: Collection[str] | None
    names: Collection[str] | None
    slice: str | None
    since: str | None
    until: str | None
    limit: int
    cursor: str | None


def list_metrics(runtime: Runtime, key: ApiKey, request: MetricsRequest) -> MetricsOut:
    """List one page of measured values. What is about the whole platform may be about any harm."""
    for harm in request.harms or ():
        check_harm(runtime.policies, key, harm, field="/harm")
    harms = request.harms if request.harms is not None else key.harms
    wanted = MetricFilter(
        harms=harms,
        platform=request.harms is None and key.harms is None,
        names=request.names,
        slice=request.slice,
        since=_time(request.since, "/since"),
        until=_time(request.until, "/until"),
    )
    with reading(runtime.engine) as connection:
        page = listing.page(connection, wanted, limit=request.limit, cursor=request.cursor)
    return MetricsOut(metrics=tuple(map(metric_out, page.rows)), next_cursor=page.next_cursor)


def list_runs(runtime: Runtime, key: ApiKey, limit: int) -> MonitorRunsOut:
    """List the newest runs."""
    with reading(runtime.engine) as connection:
        found = runs.newest(connection, limit)
    return MonitorRunsOut(runs=tuple(_run_out(run, key) for run in found))


def summary(runtime: Runtime, key: ApiKey) -> MonitoringSummaryOut:
    """How the harms that the key may see do."""
    now = runtime.clock()
    harms = sorted(harm for harm in runtime.policies.harms if shows(key, harm))
    with reading(runtime.engine) as connection:
        values, open_ = figures.newest(connection, harms, now), alerts.firing(connection)
        last = runs.last_ended(connection)
    return MonitoringSummaryOut(
        at=clock.to_text(now),
        run=None if last is None else _run_out(last, key),
        platform_alerts=_counts(open_, _PLATFORM) if key.harms is None else None,
        harms=tuple(_harm_out(harm, values[harm], _counts(open_, harm)) for harm in harms),
    )


def metric_out(row: MetricRow) -> MetricOut:
    """A measured value as the API shows it."""
    return MetricOut(
        name=row.name,
        harm=row.harm or None,
        version=row.version or None,
        slice=slice_parts(row.slice),
        since=clock.to_text(row.since),
        until=clock.to_text(row.until),
        value=row.value,
        lo=row.lo,
        hi=row.hi,
        n=row.n,
        method=row.method,
    )


def _harm_out(harm: str, values: Mapping[str, MetricRow], counts: AlertCountsOut) -> HarmSummaryOut:
    verdict = values.get(VERDICT.name)
    if verdict is not None and verdict.value is None:
        verdict = None
    return HarmSummaryOut(
        harm=harm,
        verdict=None if verdict is None else "drifted" if figures.says_yes(verdict) else "stable",
        verdict_until=None if verdict is None else clock.to_text(verdict.until),
        alerts=counts,
        figures=tuple(metric_out(row) for name, row in values.items() if name != VERDICT.name),
    )


def _counts(open_: Mapping[tuple[str, str, Severity], int], harm: str) -> AlertCountsOut:
    by_severity = {"page": 0, "digest": 0}
    for (_, of, severity), n in open_.items():
        if of == harm:
            by_severity[severity] += n
    return AlertCountsOut(**by_severity)


def _run_out(run: Run, key: ApiKey) -> MonitorRunOut:
    return MonitorRunOut(
        id=run.id,
        host=run.host,
        state=run.state,
        started_at=clock.to_text(run.started_at),
        finished_at=time_text(run.finished_at),
        until=time_text(run.until),
        # They name harms.
        notes=tuple(run.notes) if key.harms is None else (),
    )


def _time(text: str | None, field: str) -> Micros | None:
    return None if text is None else instant(text, 0, field=field)
