"""Responses of `GET /v1/monitoring/metrics`, `/runs` and `/summary`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from leads_client.schemas.base import Instant, Out, one_of

RunState = Literal["running", "done", "failed"]
DriftVerdict = Literal["drifted", "stable", "unclear"]


class MetricOut(Out, frozen=True):
    """One measured value of the window from `since` to `until`.

    Args:
        name: the metric, for example `performance.precision`.
        harm: null for the whole platform.
        version: the model version; null where none is concerned.
        slice: what the value is about, such as `column` or `type`; empty for everything.
        value: null if the window has too little to measure it.
        lo, hi: the bounds of an interval of the value; null without any.
        n: the number of rows, events or decisions behind it.
        method: how the value and its interval were computed.
    """

    name: str
    harm: str | None
    version: str | None
    slice: Mapping[str, str]
    since: Instant
    until: Instant
    value: float | None
    lo: float | None
    hi: float | None
    n: int
    method: str


class MetricsOut(Out, frozen=True):
    """One page of measured values, newest window first. `nextCursor` is null on the last page."""

    metrics: tuple[MetricOut, ...]
    next_cursor: str | None


class MonitorRunOut(Out, frozen=True):
    """A run of monitoring's jobs.

    Args:
        host: the id of the home that it ran in.
        finished_at: null while it runs.
        until: the end of the newest window that it measured; null if it measured none.
        notes: a line for everything that people should know. Empty for a key that is limited to some harms.
    """

    id: str
    host: str
    state: Annotated[str, one_of(RunState)]
    started_at: Instant
    finished_at: Instant | None
    until: Instant | None
    notes: tuple[str, ...]


class MonitorRunsOut(Out, frozen=True):
    """The newest runs of monitoring's jobs, newest first."""

    runs: tuple[MonitorRunOut, ...]


class AlertCountsOut(Out, frozen=True):
    """How many alerts are open, by severity."""

    page: int
    digest: int


class HarmSummaryOut(Out, frozen=True):
    """How a harm does.

    Args:
        verdict: whether predictions drifted; `unclear` if windows vary too much for a change to be seen (the metric
            `drift.verdict` says how much); null if there is no verdict of the last three days.
        verdict_until: the end of the window that the verdict is about; null without one.
        alerts: the alerts that are open for this harm.
        figures: the newest values of the metrics that sum a harm up; those that weren't measured in the last three
            days are left out.
    """

    harm: str
    verdict: Annotated[str, one_of(DriftVerdict)] | None
    verdict_until: Instant | None
    alerts: AlertCountsOut
    figures: tuple[MetricOut, ...]


class MonitoringSummaryOut(Out, frozen=True):
    """How the platform does at the time `at`.

    Args:
        run: the last run of monitoring that ended; null if none did.
        platform_alerts: the alerts that are open for the whole platform; null for a key that is limited to some harms.
        harms: the harms by name.
    """

    at: Instant
    run: MonitorRunOut | None
    platform_alerts: AlertCountsOut | None
    harms: tuple[HarmSummaryOut, ...]
