from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from leads.errors import NotFound
from leads.events import Subject
from leads_client.fields import Tier
from serving.observe.metrics import Metrics, Snapshot, _observe
from serving.scoring.results import GroupScores, ScoringResult, SubjectError
from serving.scoring.stages import Stage
from tests.support.paths import REPOSITORY


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
def test_observing_many_values_at_once_equals_one_by_one(n: int) -> None:
    bounds = (0.1, 0.2, 0.5, 1.0)
    registry = CollectorRegistry()
    many, single = (Histogram(name, "x", buckets=bounds, registry=registry) for name in ("many", "single"))
    rng = np.random.default_rng(n)
    drawn = np.concatenate((rng.uniform(-0.2, 1.4, n), np.array(bounds[: min(n, 4)])))
    _observe(many, drawn.tolist())
    for value in drawn.tolist():
        single.observe(value)
    for suffix in ("_bucket", "_count", "_sum"):
        for bound in ("0.1", "0.2", "0.5", "1.0", "+Inf"):
            labels = {"le": bound} if suffix == "_bucket" else {}
            got, wanted = (registry.get_sample_value(f"{name}{suffix}", labels) for name in ("many", "single"))
            assert got == pytest.approx(wanted)


def group_of(role: str, scores: Sequence[float], ages: Sequence[float | None], *flags: str) -> GroupScores:
    """What a version of `spam` answered: half of it in tier `review`, all with these flags."""
    n = len(scores)
    group = SimpleNamespace(version=SimpleNamespace(harm="spam", version="7"), role=role)
    tiers: tuple[Tier, ...] = ("review",) * (n // 2) + ("none",) * (n - n // 2)
    return GroupScores(group, scores, tiers, ages, (flags,) * n, ("p",) * n, {})  # type: ignore[arg-type]


def test_scores_are_counted_by_harm_role_tier_flag_and_value(metrics: Metrics) -> None:
    failed = [SubjectError(9, Subject("comment", "c2"), None, NotFound("Nobody knows it."))] * 2
    groups = [
        group_of("champion", [0.03, 0.5, 0.97, 1.0], [2.0, None, 400.0, None], "text_given", "features_old"),
        group_of("canary", [0.2], [None]),
        group_of("champion", [0.5] * 200, [1.0] * 200, "text_given"),
    ]
    metrics.count_scores(ScoringResult(["spam"], groups, failed))
    found = values(metrics)
    assert found['leads_scores_total{harm="spam",role="champion",tier="review"}'] == 102
    assert found['leads_scores_total{harm="spam",role="canary",tier="none"}'] == 1
    assert found['leads_score_bucket{harm="spam",le="0.05",role="champion"}'] == 1
    assert found['leads_score_bucket{harm="spam",le="0.5",role="champion"}'] == 202
    assert found['leads_score_count{harm="spam",role="champion"}'] == 204
    assert found['leads_score_sum{harm="spam",role="champion"}'] == pytest.approx(102.5)
    assert found['leads_feature_age_seconds_count{harm="spam"}'] == 202
    assert found['leads_feature_age_seconds_sum{harm="spam"}'] == 602
    assert found['leads_degraded_total{flag="text_given",harm="spam"}'] == 204
    assert found['leads_degraded_total{flag="features_old",harm="spam"}'] == 4
    assert found['leads_scores_failed_total{error="NotFound"}'] == 2
    assert not [name for name in found if "version=" in name]


def test_stages_add_up_by_name(metrics: Metrics) -> None:
    metrics.observe_stages(
        [Stage("lookup", 0, 2_000_000), Stage("predict", 2_000_000, 5_000_000), Stage("lookup", 0, 0)]
    )
    found = values(metrics)
    assert found['leads_stage_seconds_count{stage="lookup"}'] == 2
    assert found['leads_stage_seconds_sum{stage="predict"}'] == pytest.approx(0.003)


def test_an_update_sets_gauges_and_increases_totals(metrics: Metrics) -> None:
    metrics.update(Snapshot())
    found = values(metrics)
    for name in ("leads_predictions_dropped_total", "leads_predictions_waiting", "leads_store_circuit_open"):
        assert found[name] == 0
    for dropped in (3, 3, 5):
        metrics.update(
            Snapshot(
                predictions_waiting=dropped,
                predictions_dropped=dropped,
                predictions_write_failures=1,
                store_open=True,
                store_errors=2,
                shadow_rows={"compared": dropped},
                shadow_waiting=9,
                canary_calls={("spam", "answered"): 4},
                retreats={"spam": 1},
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
    assert found["leads_shadow_waiting"] == 9
    assert found['leads_canary_calls_total{harm="spam",outcome="answered"}'] == 4
    assert found['leads_canary_retreated{harm="spam"}'] == 1
    assert found['leads_model_refusals{harm="spam"}'] == 1
    assert found['leads_model_version{harm="spam",role="champion",version="1"}'] == 1


def test_a_total_that_was_reset_keeps_counting(metrics: Metrics) -> None:
    for total in (5, 2, 3):
        metrics.update(Snapshot(canary_calls={("spam", "answered"): total}))
    assert values(metrics)['leads_canary_calls_total{harm="spam",outcome="answered"}'] == 8


def test_past_versions_and_refusals_are_not_shown(metrics: Metrics) -> None:
    metrics.update(Snapshot(refusals={"spam": 1}, versions=frozenset({("spam", "champion", "1")})))
    metrics.update(Snapshot(versions=frozenset({("spam", "champion", "2")})))
    found = values(metrics)
    assert found['leads_model_refusals{harm="spam"}'] == 0
    shown = [name for name in found if name.startswith("leads_model_version{")]
    assert shown == ['leads_model_version{harm="spam",role="champion",version="2"}']


def test_the_number_of_series_does_not_grow_with_calls(metrics: Metrics) -> None:
    def calls(n: int) -> None:
        for i in range(n):
            metrics.request_started()
            metrics.request_finished("POST", "/v1/score", 200, i / 1e3)
            metrics.count_scores(
                ScoringResult(["spam"], [group_of("champion", [i / n] * 20, [float(i)] * 20, "text_given")], [])
            )

    calls(20)
    before = values(metrics)
    calls(300)
    after = values(metrics)
    assert set(after) == set(before)
    assert after["leads_inflight_requests"] == 0
    assert after['leads_scores_total{harm="spam",role="champion",tier="none"}'] == 3_200


_PROCESS = """
import os, sys
from prometheus_client import CollectorRegistry
from serving.observe.metrics import Metrics, Snapshot
from serving.scoring.stages import Stage
metrics = Metrics(CollectorRegistry())
n = int(sys.argv[1])
metrics.request_started()
metrics.rate_limited("key")
metrics.observe_stages([Stage("text", 0, 100)])
now = Snapshot(predictions_waiting=n, predictions_dropped=n, store_open=n == 1, refusals={"spam": n},
               versions=frozenset({("spam", "champion", str(n)), ("spam", "challenger", "9")}))
metrics.update(now)
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


@pytest.mark.slow
def test_processes_are_summed_and_dead_ones_count_only_in_totals(
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


@pytest.mark.slow
def test_many_processes_that_came_and_went_leave_their_totals_in_two_files(
    metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    totals = []
    for _ in range(3):
        child = _start(tmp_path, 1)
        child.communicate("\n", timeout=60)
        found = values(metrics)
        totals.append((found["leads_predictions_dropped_total"], found['leads_stage_seconds_count{stage="text"}']))
    assert totals == [(1, 1), (2, 2), (3, 3)]
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["counter_0.db", "histogram_0.db"]


def test_the_documentation_lists_every_metric_with_its_labels(metrics: Metrics) -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(leads_[a-z_]+)` \|([^|]*)\|", text, re.MULTILINE)
    documented = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert documented == metrics.labels
