"""The rules for Prometheus: current, valid, about metrics that exist, and each with a page."""

from __future__ import annotations

import re
import shutil
import subprocess

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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool isn't installed (Debian's package prometheus)")
def test_promtool_accepts_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
