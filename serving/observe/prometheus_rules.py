"""Rules for Prometheus: objectives of the service, and the alerts that monitoring raises.

`python -m serving.observe.prometheus_rules` writes them to deploy/prometheus/leads.rules.yaml.

An objective allows a share of failures, its error budget. Alerts look at how fast it is used up (Google, The Site
Reliability Workbook, chapter 5): 14.4 times the budget for an hour, or 6 times for six hours, is a page; once for three
days is a ticket. A second, shorter window ends the alert soon after the failures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from leads.alerting.out import RUNBOOK
from leads.alerting.rules import RULES
from leads.settings import PACKAGES

FILE = PACKAGES / "deploy" / "prometheus" / "leads.rules.yaml"
_HEADER = """\
# Rules for Prometheus, made by: python -m serving.observe.prometheus_rules
# docs/monitoring.md describes them. `severity` is page, ticket or digest.
"""
# Of 1,000 requests, one may fail; of 100 events, one may take longer than five seconds until it counts.
_AVAILABILITY, _FRESHNESS = 0.001, 0.01
_FRESH_S, _SLOW_S = "5.0", 0.05
_OLD_LEAD_S, _DELAY_S, _NO_RUN_S = 86_400, 600, 1_800
# These answer with 503 on purpose.
_PROBES = "/readyz|/livez|/healthz"
_WINDOWS = ("5m", "30m", "1h", "6h", "3d")
_FAILED, _LATE = "leads:http_failures:share_{window}", "leads:events_late:share_{window}"


class Alert(NamedTuple):
    """One alert.

    Args:
        severity: None: the series of the expression have a label with it.
        wait: how long the expression must hold.
        page: docs/runbook/<page>.md.
    """

    name: str
    expression: str
    severity: str | None
    wait: str
    summary: str
    page: str


def alerts() -> list[Alert]:
    """All alerts."""
    return [*_objectives(), *_of_monitoring()]


def document() -> str:
    """The file's content."""
    groups = [
        {"name": "leads-shares", "rules": _recorded()},
        {"name": "leads-objectives", "rules": [_rule(one) for one in _objectives()]},
        {"name": "leads-alerts", "rules": [_rule(one) for one in _of_monitoring()]},
    ]
    return _HEADER + yaml.safe_dump({"groups": groups}, sort_keys=False, width=120, allow_unicode=True)


def write(path: Path = FILE) -> None:
    """Write the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document(), encoding="utf-8")


def _objectives() -> list[Alert]:
    return [
        *_burn("LeadsUnavailable", _FAILED, _AVAILABILITY, "requests fail", "availability"),
        *_burn("LeadsEventsLate", _LATE, _FRESHNESS, "events count in scores after more than 5 s", "stale-features"),
        Alert(
            "LeadsDown",
            "absent(leads_inflight_requests)",
            "page",
            "5m",
            "No API process is scraped.",
            "service-down",
        ),
        Alert(
            "LeadsScoringSlow",
            "histogram_quantile(0.99, sum by (le) "
            '(rate(leads_http_request_seconds_bucket{route="/v1/score"}[10m]))) '
            f"> {_SLOW_S}",
            "ticket",
            "15m",
            "1% of the scoring requests take longer than 50 ms: now {{ $value | humanizeDuration }}.",
            "scoring-slow",
        ),
        Alert(
            "LeadsOldestLead",
            f"max by (harm) (leads_queue_oldest_open_seconds) > {_OLD_LEAD_S}",
            "ticket",
            "10m",
            "The oldest open lead of {{ $labels.harm }} has waited for {{ $value | humanizeDuration }}.",
            "queue-old",
        ),
        Alert(
            "LeadsMonitoringStopped",
            f"time() - max(leads_monitoring_run_timestamp_seconds) > {_NO_RUN_S}",
            "page",
            "5m",
            "Nothing was measured for {{ $value | humanizeDuration }}, so no alert can be raised.",
            "monitoring-stopped",
        ),
        Alert(
            "LeadsMonitoringFailed",
            "max(leads_monitoring_run_failed) > 0",
            "ticket",
            "1h",
            "Every run of monitoring for an hour had jobs that failed.",
            "monitoring-stopped",
        ),
        Alert(
            "LeadsAlertsDelayed",
            f"max(leads_outbox_oldest_seconds) > {_DELAY_S}",
            "page",
            "1m",
            "A message about an alert has waited for {{ $value | humanizeDuration }}.",
            "alerts-delayed",
        ),
    ]


def _burn(name: str, share: str, budget: float, what: str, page: str) -> list[Alert]:
    """Alerts on how fast an error budget is used up."""
    found = []
    for suffix, times, long, short, severity in (
        ("Fast", 14.4, "1h", "5m", "page"),
        ("Slowly", 6.0, "6h", "30m", "page"),
        ("Slightly", 1.0, "3d", "6h", "ticket"),
    ):
        limit = f"{times * budget:.4g}"
        expression = f"{share.format(window=long)} > {limit} and {share.format(window=short)} > {limit}"
        now = "{{ $value | humanizePercentage }}"
        summary = f"{now} of the {what}: {times:g} times as many as {budget * 100:g}% allow."
        found.append(Alert(f"{name}{suffix}", expression, severity, "2m", summary, page))
    return found


def _of_monitoring() -> list[Alert]:
    """The open alerts of each rule, with the severity that the rule has."""
    return [
        Alert(
            "Leads" + "".join(part.capitalize() for part in rule.name.split("_")),
            f'max by (harm, severity, rule) (leads_alerts_open{{rule="{rule.name}"}}) > 0',
            None,
            "0m",
            "{{ $value }} open alerts of the rule {{ $labels.rule }}. See: leads alerts",
            rule.page,
        )
        for rule in RULES.values()
    ]


def _recorded() -> list[dict[str, Any]]:
    """The shares of failed requests and of late events in every window."""
    found = []
    for window in _WINDOWS:
        all_ = f'leads_http_requests_total{{route!~"{_PROBES}"}}'
        failed = f'leads_http_requests_total{{route!~"{_PROBES}",status=~"5.."}}'
        found.append(
            {
                "record": _FAILED.format(window=window),
                "expr": f"(sum(rate({failed}[{window}])) or vector(0)) / sum(rate({all_}[{window}]))",
            }
        )
    for window in _WINDOWS:
        fresh = f'leads_event_lag_seconds_bucket{{le="{_FRESH_S}"}}'
        found.append(
            {
                "record": _LATE.format(window=window),
                "expr": f"1 - sum(rate({fresh}[{window}])) / sum(rate(leads_event_lag_seconds_count[{window}]))",
            }
        )
    return found


def _rule(alert: Alert) -> dict[str, Any]:
    made: dict[str, Any] = {"alert": alert.name, "expr": alert.expression}
    if alert.wait != "0m":
        made["for"] = alert.wait
    if alert.severity is not None:
        made["labels"] = {"severity": alert.severity}
    made["annotations"] = {"summary": alert.summary, "runbook": f"{RUNBOOK}/{alert.page}.md"}
    return made


if __name__ == "__main__":
    write()
