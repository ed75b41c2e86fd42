"""`retention` in policies.yaml: durations, and errors that name the line and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads import clock
from leads.errors import ConfigurationError
from leads.policies import load_policies
from leads.retention.kinds import KINDS, PRUNED, kept_for
from leads.retention.policy import RetentionPolicy, duration_text, parse_duration

POLICIES = """\
version: 1
retention:
  reports: {reports}
  {more}
harms:
  spam:
    title: Spam
    subject_types: [comment]
    severity: 3
    dsa_category: STATEMENT_CATEGORY_SCAMS_AND_FRAUD
    review: {{precision: 0.6}}
"""


def read(tmp_path: Path, reports: str = "30d", more: str = "logs: 14d") -> RetentionPolicy:
    path = tmp_path / "policies.yaml"
    path.write_text(POLICIES.format(reports=reports, more=more))
    return load_policies(path).retention


@pytest.mark.parametrize(
    ("text", "kept"),
    [("7d", 7 * clock.DAY), ("36h", 36 * clock.HOUR), ("forever", None)],
)
def test_durations_are_read(tmp_path: Path, text: str, kept: int | None) -> None:
    assert read(tmp_path, text).reports == kept
    assert duration_text(kept) == text
    assert parse_duration(text) == kept


@pytest.mark.parametrize("text", ["30", "30 days", "0d", "-1d", "3m", "[30d]", '""'])
def test_what_is_no_duration_is_refused_with_line_and_example(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path}/policies.yaml:3: retention.reports: ")
    assert "for example 90d; or forever" in str(refused.value)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("predictions: 1d", "retention.predictions: 1d is too short: leads drift and leads skew read the last day."),
        ("versions: 30d", "retention.versions: 30d is shorter than retention.predictions (90d)"),
        ("prediction_summaries: 14d", "retention.prediction_summaries: 14d is too short: windows are compared"),
        ("metric_rows: 7d", "retention.metric_rows: 7d is too short: pages show two weeks"),
        ("outbox: 1d", "retention.outbox: 1d is too short: messages that fail are tried again for three days."),
        ("events: 30d", "retention.events: This key is unknown. Remove the key or correct its spelling."),
    ],
)
def test_what_checks_and_decisions_need_can_not_be_deleted(tmp_path: Path, more: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, more=more)
    assert str(refused.value).startswith(f"{tmp_path}/policies.yaml:4: {reason}")


def test_every_kind_is_either_pruned_or_says_why_not() -> None:
    policy = RetentionPolicy()
    assert set(RetentionPolicy.model_fields) | {"responses", "temporary"} == set(PRUNED)
    assert all(kept_for(policy, kind.name) is None for kind in KINDS if kind.stays)
    assert {kind.name for kind in KINDS if kind.stays} >= {"events", "leads", "reviews", "labels", "features"}


def test_a_change_of_retention_needs_no_restart(tmp_path: Path) -> None:
    path = tmp_path / "policies.yaml"
    digests = set()
    for reports in ("7d", "forever"):
        path.write_text(POLICIES.format(reports=reports, more="logs: 14d"))
        digests.add(load_policies(path).digest)
    assert len(digests) == 1
