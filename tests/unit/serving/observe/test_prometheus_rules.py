"""The rules for Prometheus: current, valid, about metrics that exist, and each with a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from leads.alerting.rules import RULES
from serving.observe import prometheus_rules
from serving.observe.metrics import Metrics
from tests.support.paths import REPOSITORY

FILE = REPOSITORY / "deploy" / "prometheus" / "leads.rules.yaml"


def expressions() -> list[str]:
    return [rule["expr"] for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]


def test_the_file_is_current() -> None:
    """If this fails, run: python -m serving.observe.prometheus_rules"""
    assert prometheus_rules.FILE == FILE
    assert FILE.read_text(encoding="utf-8") == prometheus_rules.document()


def test_every_metric_exists() -> None:
    known = Metrics(CollectorRegistry()).labels
    for expression in expressions():
        for name, labels in re.findall(r"\b(leads_\w+)(?:\{([^}]*)\})?", expression):
            family = re.sub(r"_(bucket|count|sum)$", "", name)
            assert family in known, expression
            used = set(re.findall(r"(\w+)(?:=|!)", labels)) - {"le"}
            assert used <= set(known[family]), expression
        for by in re.findall(r"by \(([\w, ]+)\)", expression):
            (name,) = re.findall(r"\b(leads_\w+?)(?:_bucket)?\b(?:\{|\)|\[)", expression)[:1]
            assert set(by.split(", ")) - {"le"} <= set(known[name]), expression


def test_every_share_is_recorded() -> None:
    rules = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    used = {name for expression in expressions() for name in re.findall(r"leads:\w+:\w+", expression)}
    assert used <= recorded


def test_the_buckets_that_are_used_exist() -> None:
    text = Metrics(CollectorRegistry()).text().decode()
    assert 'leads_event_lag_seconds_bucket{le="5.0"}' in text


def test_there_is_an_alert_for_every_rule() -> None:
    text = FILE.read_text()
    assert all(f'rule="{name}"' in text for name in RULES)
    names = [alert.name for alert in prometheus_rules.alerts()]
    assert len(names) == len(set(names))


def test_burn_rates() -> None:
    by_name = {alert.name: alert for alert in prometheus_rules.alerts()}
    assert by_name["LeadsUnavailableFast"].expression == (
        "leads:http_failures:share_1h > 0.0144 and leads:http_failures:share_5m > 0.0144"
    )
    assert by_name["LeadsEventsLateSlightly"].expression == (
        "leads:events_late:share_3d > 0.01 and leads:events_late:share_6h > 0.01"
    )


NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool isn't installed (Debian's package prometheus)"
)


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@NEEDS_PROMTOOL
def test_promtool_accepts_the_rules() -> None:
    promtool("check", "rules", str(FILE))


def requests(good: int, failed: int) -> list[dict[str, str]]:
    """Two hours in which so many requests a minute succeed and fail."""
    labels = 'method="GET",route="/v1/leads"'
    return [
        {"series": f'leads_http_requests_total{{{labels},status="{status}"}}', "values": f"0+{n}x120"}
        for status, n in (("200", good), ("503", failed))
    ]


@NEEDS_PROMTOOL
@pytest.mark.parametrize(
    ("series", "name", "labels", "summary"),
    [
        (
            requests(980, 20),
            "LeadsUnavailableFast",
            {"severity": "page"},
            "2% of the requests fail: 14.4 times as many as 0.1% allow.",
        ),
        (requests(9990, 10), "LeadsUnavailableFast", None, ""),
        (requests(1000, 0), "LeadsUnavailableFast", None, ""),
        (
            [
                {"series": f'leads_event_lag_seconds_{name}', "values": values}
                for name, values in (('bucket{le="5.0"}', "0+80x120"), ("count", "0+100x120"))
            ],
            "LeadsEventsLateFast",
            {"severity": "page"},
            "20% of the events count in scores after more than 5 s: 14.4 times as many as 1% allow.",
        ),
        (
            [{"series": 'leads_alerts_open{rule="inputs_missing",harm="spam",severity="page"}', "values": "3x120"}],
            "LeadsInputsMissing",
            {"severity": "page", "harm": "spam", "rule": "inputs_missing"},
            "3 open alerts of the rule inputs_missing. See: leads alerts",
        ),
        (
            [{"series": 'leads_alerts_open{rule="inputs_missing",harm="spam",severity="page"}', "values": "0x120"}],
            "LeadsInputsMissing",
            None,
            "",
        ),
        ([{"series": "leads_outbox_oldest_seconds", "values": "0+60x120"}], "LeadsAlertsDelayed", {"severity": "page"},
         "A message about an alert has waited for 1h 40m 0s."),
        ([{"series": "leads_inflight_requests", "values": "1x120"}], "LeadsDown", None, ""),
    ],
)  # fmt: skip
def test_what_fires(
    tmp_path: Path, series: list[dict[str, str]], name: str, labels: dict[str, str] | None, summary: str
) -> None:
    page = next(alert.page for alert in prometheus_rules.alerts() if alert.name == name)
    annotations = {"summary": summary, "runbook": f"docs/runbook/{page}.md"}
    expected = [] if labels is None else [{"exp_labels": labels, "exp_annotations": annotations}]
    case = {
        "interval": "1m",
        "input_series": series,
        "alert_rule_test": [{"eval_time": "100m", "alertname": name, "exp_alerts": expected}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": [case]}))
    promtool("test", "rules", str(file))
