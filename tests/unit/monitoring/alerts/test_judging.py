"""When a rule fires and when it is quiet, from values alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from leads import clock
from leads.alerting.policy import MonitoringPolicy, RulePolicy
from leads.alerting.rules import RULES, Rule
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from monitoring.alerts.judging import Finding, concerns, findings, rules_of

NOW = 1_780_012_800_000_000 // clock.DAY * clock.DAY


def row(
    rule: str, hours_ago: float, value: float | None, *, lo: float | None = None, hi: float | None = None,
    length: float = 1, slice_: str = "", harm: str = "spam", version: str = "3",
) -> MetricRow:  # fmt: skip
    until = NOW - round(hours_ago * clock.HOUR)
    since = until - round(length * clock.HOUR)
    return MetricRow(harm, version, slice_, since, until, RULES[rule].metric, value, lo, hi, 100, "test")


def judge(rows: Sequence[MetricRow], rules: dict[str, Rule] | None = None, now: Micros = NOW) -> list[Finding]:
    return findings(rows, RULES if rules is None else rules, now)


def only(rows: Sequence[MetricRow], **options: Rule) -> Finding:
    (found,) = judge(rows, options or None)
    return found


def test_a_bound_beyond_the_limit_fires_and_one_within_it_does_not() -> None:
    assert only([row("inputs_missing", 0, 0.5, lo=0.3)]).fires
    assert not only([row("inputs_missing", 0, 0.5, lo=0.19)]).fires
    # Without an interval, the value counts.
    assert only([row("queue_old", 0, 30.0)]).fires


def test_below() -> None:
    rule = RULES["queue_old"]._replace(direction="below", limit=1.0, clear=2.0)
    assert only([row("queue_old", 0, 0.5, hi=0.9)], queue_old=rule).fires
    assert not only([row("queue_old", 0, 0.5, hi=1.1)], queue_old=rule).fires
    assert only([row("queue_old", 0, 2.5, hi=3.0)], queue_old=rule).quiet


def test_between_limit_and_clear_an_alert_stays() -> None:
    found = only([row("inputs_missing", 0, 0.15, lo=0.12)])
    assert (found.fires, found.quiet) == (False, False)
    assert only([row("inputs_missing", 0, 0.08, lo=0.05)]).quiet


@pytest.mark.parametrize(
    ("broken", "fires"),
    [((1, 0, 0), False), ((1, 1, 0), True), ((0, 1, 1), True), ((1, 0, 1), True), ((0, 0, 1), False)],
)
def test_two_of_three_windows(broken: Sequence[int], fires: bool) -> None:
    rows = [row("input_drift", i, 0.5, lo=0.1 if b else -0.1) for i, b in enumerate(broken)]
    assert only(rows).fires is fires


def test_drift_is_quiet_after_three_windows_in_a_row() -> None:
    rows = [row("input_drift", i, 0.5, lo=lo) for i, lo in enumerate((-0.1, -0.1, -0.1, 0.3))]
    assert only(rows).quiet
    assert not only(rows[1:]).quiet


def test_windows_of_each_length_are_judged_by_themselves() -> None:
    short = [row("input_drift", i, 0.5, lo=-0.1, length=6) for i in range(3)]
    long = [row("input_drift", i, 0.9, lo=0.4, length=72) for i in range(3)]
    found = only([*short, *long])
    assert found.fires
    assert found.row.until - found.row.since == 72 * clock.HOUR
    # One broken window of each length isn't two of one length.
    assert not only([short[1], short[2], row("input_drift", 0, 1, lo=1, length=6), long[0]]).fires


def test_windows_of_one_length_do_not_make_the_other_quiet() -> None:
    short = [row("input_drift", i, 0.5, lo=-0.1, length=6) for i in range(3)]
    long = [row("input_drift", i, 0.9, lo=lo, length=72) for i, lo in enumerate((-1.0, 0.4, -1.0))]
    found = only([*short, *long])
    assert (found.fires, found.quiet) == (False, False)


def test_a_window_that_is_not_over_can_break_a_rule_but_not_make_it_quiet() -> None:
    assert only([row("inputs_missing", -0.5, 0.9, lo=0.8), row("inputs_missing", 0.5, 0.01, lo=0.0)]).fires
    found = only([row("inputs_missing", -0.5, 0.0, lo=0.0), row("inputs_missing", 0.5, 0.9, lo=0.8)])
    assert (found.fires, found.quiet) == (True, False)
    assert judge([row("inputs_missing", -0.5, 0.0, lo=0.0)]) == []


def test_a_promotion_in_the_middle_of_a_window_hides_nothing() -> None:
    rows = [row("inputs_missing", 0, 0.01, lo=0.0, version="3"), row("inputs_missing", 0, 0.9, lo=0.8, version="4")]
    assert only(rows).row.version == "4"
    earlier = [row("input_drift", i, 0.5, lo=0.1, version=version) for i, version in enumerate("43")]
    assert only(earlier).fires


def test_slices_and_harms_are_judged_by_themselves() -> None:
    rows = [
        row("inputs_missing", 0, 0.9, lo=0.8, slice_="column=a"),
        row("inputs_missing", 0, 0.0, lo=0.0, slice_="column=b"),
        row("inputs_missing", 0, 0.9, lo=0.8, slice_="column=a", harm="hate"),
    ]
    fires = {(found.harm, found.slice): found.fires for found in judge(rows)}
    assert fires == {("spam", "column=a"): True, ("spam", "column=b"): False, ("hate", "column=a"): True}


def test_values_that_could_not_be_measured_say_nothing() -> None:
    assert judge([row("inputs_missing", 0, None)]) == []
    rows = [row("inputs_missing", 0, None), row("inputs_missing", 1, 0.9, lo=0.8)]
    found = only(rows)
    assert (found.fires, found.quiet) == (True, False)


def test_since_is_the_start_of_the_first_broken_window_without_a_break() -> None:
    rows = [row("queue_old", i, value) for i, value in enumerate((30.0, 29.0, 28.0, 3.0))]
    found = only(rows)
    assert found.since == NOW - 3 * clock.HOUR
    assert found.before == 3.0


def test_the_deviation_is_how_far_the_bound_is_beyond_the_limit() -> None:
    assert only([row("inputs_missing", 0, 0.5, lo=0.3)]).deviation == pytest.approx(0.1)
    assert only([row("inputs_missing", 0, 0.5, lo=0.1)]).deviation == pytest.approx(-0.1)


def test_the_policy_changes_rules() -> None:
    policy = MonitoringPolicy(
        rules={
            "queue_old": RulePolicy(limit=72, severity="digest"),
            "skew": RulePolicy(enabled=False),
            "input_drift": RulePolicy(limit=0.1),
            "precision_low": RulePolicy(limit=-0.2),
        }
    )
    rules = rules_of(policy)
    assert "skew" not in rules
    assert (rules["queue_old"].limit, rules["queue_old"].clear, rules["queue_old"].severity) == (72, 60, "digest")
    assert (rules["input_drift"].limit, rules["input_drift"].clear) == (0.1, None)
    assert rules["precision_low"].clear == -0.2
    assert rules["inputs_missing"] == RULES["inputs_missing"]


def test_a_rule_may_be_for_some_harms_only() -> None:
    policy = MonitoringPolicy(rules={"queue_old": RulePolicy(harms=("spam",))})
    harms = {"spam", "hate"}
    assert concerns(policy, "queue_old", "spam", harms)
    assert not concerns(policy, "queue_old", "hate", harms)
    assert concerns(policy, "skew", "hate", harms)
    assert concerns(policy, "queue_old", "", harms)
    assert not concerns(policy, "skew", "gone", harms)


def test_every_rule_can_fire_and_clear() -> None:
    """The limit at which a rule clears lies on the good side of the one at which it fires."""
    for rule in RULES.values():
        if rule.clear is not None:
            assert rule.clear <= rule.limit if rule.direction == "above" else rule.clear >= rule.limit
        assert 1 <= rule.broken_windows <= rule.of_windows
