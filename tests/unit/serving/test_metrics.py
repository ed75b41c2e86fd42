from __future__ import annotations

import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from leads.records import Subject
from leads.settings import REPOSITORY
from serving.answers import ErrorEntry, ScoreAnswer
from serving.metrics import Metrics, Snapshot, _observe
from serving.stages import Stage


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def values(metrics: Metrics) -> dict[str, float]:
    """Samples by name and labels, as `name{a="1"}`."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@pytest.mark.parametrize("n", [0, 1, 5, 55, 56, 57, 500])
def test_many_values_at_once_are_what_one_by_one_would_be(n: int) -> None:
    bounds = (0.1, 0.2, 0.5, 1.0)
    registry = CollectorRegistry()
    many, single = (Histogram(name, "x", buckets=bounds, registry=registry) for name in ("many", "single"))
    rng = np.random.default_rng(n)
    drawn = np.concatenate((rng.uniform(-0.2, 1.4, n), np.array(bounds[: min(n, 4)])))
    _observe(many, drawn)
    for value in drawn.tolist():
        single.observe(value)
    for suffix in ("_bucket", "_count", "_sum"):
        for bound in ("0.1", "0.2", "0.5", "1.0", "+Inf"):
            labels = {"le": bound} if suffix == "_bucket" else {}
            got, wanted = (registry.get_sample_value(f"{name}{suffix}", labels) for name in ("many", "single"))
            assert got == pytest.approx(wanted)


def test_a_group_of_scores_is_counted_by_tier_flag_and_value(metrics: Metrics) -> None:
    scores = np.array([0.03, 0.5, 0.97, 1.0], np.float32)
    ages = np.array([2.0, np.nan, 400.0])
    metrics.group("spam", "champion", scores, tiers={"none": 1, "review": 3}, ages_s=ages, degraded={"text_given": 2})
    metrics.group("spam", "champion", scores[:0], tiers={}, ages_s=ages[:0])
    found = values(metrics)
    assert found['leads_scores_total{harm="spam",role="champion",tier="review"}'] == 3
    assert found['leads_score_bucket{harm="spam",le="0.05",role="champion"}'] == 1
    assert found['leads_score_bucket{harm="spam",le="0.5",role="champion"}'] == 2
    assert found['leads_score_count{harm="spam",role="champion"}'] == 4
    assert found['leads_feature_age_seconds_count{harm="spam"}'] == 2
    assert found['leads_feature_age_seconds_sum{harm="spam"}'] == 402
    assert found['leads_degraded_total{flag="text_given",harm="spam"}'] == 2


def test_answers_are_counted_by_harm_and_role(metrics: Metrics) -> None:
    def answer(role: str, score: float, age: float | None) -> ScoreAnswer:
        return ScoreAnswer(
            index=0, subject=Subject("comment", "c1"), harm="spam", score=score, tier="review", model="leads-spam",
            version="7", role=role, contract_hash="h", at=0, oldest_feature_age_s=age, degraded=("features_old",),
            exposure=1.0, prediction_id="p", reasons=None,
        )  # fmt: skip

    failed = ErrorEntry(1, Subject("comment", "c2"), None, _unknown())
    metrics.scored([answer("champion", 0.4, 3.0), answer("canary", 0.6, None), answer("champion", 0.5, None), failed])
    found = values(metrics)
    assert found['leads_scores_total{harm="spam",role="champion",tier="review"}'] == 2
    assert found['leads_scores_total{harm="spam",role="canary",tier="review"}'] == 1
    assert found['leads_feature_age_seconds_count{harm="spam"}'] == 1
    assert found['leads_degraded_total{flag="features_old",harm="spam"}'] == 3
    assert found['leads_scores_failed_total{error="NotFound"}'] == 1
    assert not [name for name in found if "version=" in name]


def _unknown():  # type: ignore[no-untyped-def]
    from leads.errors import NotFound

    return NotFound("Nobody knows it.")


def test_stages_add_up_by_name(metrics: Metrics) -> None:
    metrics.stages([Stage("lookup", 0, 2_000_000), Stage("predict", 2_000_000, 5_000_000), Stage("lookup", 0, 0)])
    found = values(metrics)
    assert found['leads_stage_seconds_count{stage="lookup"}'] == 2
    assert found['leads_stage_seconds_sum{stage="predict"}'] == pytest.approx(0.003)


def test_a_tick_takes_over_states_and_adds_what_came_to_totals(metrics: Metrics) -> None:
    metrics.tick(Snapshot())
    found = values(metrics)
    for name in ("leads_predictions_dropped_total", "leads_predictions_waiting", "leads_store_circuit_open"):
        assert found[name] == 0
    for dropped in (3, 3, 5):
        metrics.tick(
            Snapshot(
                predictions_waiting=dropped,
                predictions_dropped=dropped,
                predictions_write_failures=1,
                store_open=True,
                store_errors=2,
                shadow_rows={"compared": dropped},
                canary_rows={("spam", "answered"): 4},
                refusals={"spam": 1},
                versions=frozenset({("spam", "champion", "1")}),
            )
        )
    found = values(metrics)
    assert found["leads_predictions_waiting"] == 5
    assert found["leads_predictions_dropped_total"] == 5
    assert found["leads_predictions_write_failures_total"] == 1
    assert found["leads_store_circuit_open"] == 1
    assert found["leads_store_errors_total"] == 2
    assert found['leads_shadow_rows_total{outcome="compared"}'] == 5
    assert found['leads_canary_rows_total{harm="spam",outcome="answered"}'] == 4
    assert found['leads_model_refusals{harm="spam"}'] == 1
    assert found['leads_model_version{harm="spam",role="champion",version="1"}'] == 1


def test_versions_and_refusals_that_are_gone_are_not_shown_as_there(metrics: Metrics) -> None:
    metrics.tick(Snapshot(refusals={"spam": 1}, versions=frozenset({("spam", "champion", "1")})))
    metrics.tick(Snapshot(versions=frozenset({("spam", "champion", "2")})))
    found = values(metrics)
    assert found['leads_model_refusals{harm="spam"}'] == 0
    shown = [name for name in found if name.startswith("leads_model_version{")]
    assert shown == ['leads_model_version{harm="spam",role="champion",version="2"}']


def test_nothing_is_kept_per_call(metrics: Metrics) -> None:
    def calls(n: int) -> None:
        for i in range(n):
            metrics.begun()
            metrics.request("POST", "/v1/score", 200, i / 1e3)
            scores = np.linspace(0, 1, 20)
            metrics.group("spam", "champion", scores, tiers={"none": 20}, ages_s=scores, degraded={"text_given": 1})

    calls(20)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        calls(300)
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


_PROCESS = """
import os, sys
from prometheus_client import CollectorRegistry
from serving.metrics import Metrics, Snapshot
metrics = Metrics(CollectorRegistry())
n = int(sys.argv[1])
metrics.begun()
metrics.limited("key")
now = Snapshot(predictions_waiting=n, predictions_dropped=n, store_open=n == 1, refusals={"spam": n},
               versions=frozenset({("spam", "champion", str(n)), ("spam", "challenger", "9")}))
metrics.tick(now)
print("ready", flush=True)
sys.stdin.readline()
"""


def _start(folder: Path, n: int) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _PROCESS, str(n)], cwd=REPOSITORY, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_processes_add_up_and_the_dead_count_only_in_totals(
    metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = [_start(tmp_path, n) for n in (1, 2)]
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    try:
        both = values(metrics)
        children[0].communicate("\n", timeout=60)
        one = values(metrics)
    finally:
        for child in children:
            child.kill()
            child.communicate(timeout=60)
    assert both["leads_predictions_waiting"] == 3
    assert both["leads_inflight_requests"] == 2
    assert both["leads_store_circuit_open"] == 1
    assert both['leads_model_refusals{harm="spam"}'] == 2
    assert both['leads_model_version{harm="spam",role="challenger",version="9"}'] == 2
    assert both['leads_model_version{harm="spam",role="champion",version="1"}'] == 1
    assert one["leads_predictions_waiting"] == 2
    assert one["leads_store_circuit_open"] == 0
    assert 'leads_model_version{harm="spam",role="champion",version="1"}' not in one
    assert both["leads_predictions_dropped_total"] == one["leads_predictions_dropped_total"] == 3
    assert one['leads_rate_limited_total{limit="key"}'] == 2


def test_the_documentation_lists_every_metric_with_its_labels(metrics: Metrics) -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(leads_[a-z_]+)` \|([^|]*)\|", text, re.MULTILINE)
    documented = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert documented == metrics.labels
