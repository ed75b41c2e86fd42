"""The OpenAPI texts of the routes of what monitoring measured."""

from __future__ import annotations

from leads_client.schemas.measured import MetricsOut, MonitoringSummaryOut, MonitorRunsOut
from serving.http.openapi import problem_examples as problems
from serving.http.openapi import tags
from serving.http.openapi.documented import RouteDocs

ROUTES = {
    "GET /monitoring/metrics": RouteDocs(
        "listMetrics",
        tags.MONITORING,
        "List measured values",
        "What the jobs of monitoring measured: data quality, drift, performance. The newest window comes first. A key "
        "that is limited to some harms gets the values of these harms alone, without those of the whole platform.",
        "monitoring:read",
        MetricsOut,
        parameters=True,
        problems=(
            problems.harm_not_found("/harm"),
            problems.harm_not_allowed("/harm"),
            problems.INVALID_CURSOR,
        ),
    ),
    "GET /monitoring/runs": RouteDocs(
        "listMonitorRuns",
        tags.MONITORING,
        "List the runs of monitoring's jobs",
        "When they ran, whether something failed, and what people should know about what was measured.",
        "monitoring:read",
        MonitorRunsOut,
        parameters=True,
    ),
    "GET /monitoring/summary": RouteDocs(
        "getMonitoringSummary",
        tags.MONITORING,
        "Get an overview of all harms",
        "By harm: whether predictions drifted, how many alerts are open, and the newest figures. `leads status` shows "
        "the same.",
        "monitoring:read",
        MonitoringSummaryOut,
    ),
}
