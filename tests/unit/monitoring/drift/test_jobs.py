"""What the jobs of drift write: values with thresholds for the rules, and one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pytest

from leads import clock
from leads.alerting.rules import RULES
from leads.db.monitoring.rows import MetricRow
from monitoring.drift.jobs import drift_jobs, every, verdict_hours
from tests.support.drift_rows import HARM, Doubles, FakeWorld, Platform, at_hour

END = 30 * 24


def jump(made: Doubles, random: object) -> None:
    made[:, 0] = 1 - made[:, 0]


def rows(hours: int, platform: Platform) -> list[MetricRow]:
    job = next(job for job in drift_jobs() if job.name == f"drift of {hours} h")
    return job.measure(FakeWorld(platform), HARM, at_hour(END))


@cache
def quiet(hours: int) -> list[MetricRow]:
    return rows(hours, Platform())


def named(found: list[MetricRow], name: str) -> Mapping[str, MetricRow]:
    return {row.slice: row for row in found if row.name == name}


@pytest.mark.parametrize("hours", [6, 24, 72])
def test_a_quiet_window_breaks_no_rule_and_has_all_values(hours: int) -> None:
    found = quiet(hours)
    assert {row.name for row in found} >= {"drift.score", "drift.flagged", "drift.input", "drift.text", "drift.share"}
    assert {row.until - row.since for row in found} == {hours * clock.HOUR}
    for row in found:
        if row.name in {rule.metric for rule in RULES.values()}:
            assert row.lo is not None
            assert row.lo <= 0
    keys = [(row.harm, row.name, row.slice, row.version, row.until, row.since) for row in found]
    assert len(set(keys)) == len(keys)


def test_only_windows_of_a_day_have_the_verdict() -> None:
    assert [row.value for row in quiet(24) if row.name == "drift.verdict"] == [0.0]
    assert not named(quiet(6), "drift.verdict")
    assert quiet(48) == []


def test_drift_is_above_the_limit_of_its_rule() -> None:
    found = rows(24, Platform(changes=lambda number: jump if number >= END - 24 else None))
    assert named(found, "drift.verdict")["against=reference"].value == 1.0
    broken = named(found, "drift.input")["against=reference;column=item.reports_24h"]
    assert broken.lo is not None
    assert broken.value is not None
    assert 0 < broken.lo < broken.value
    assert "against=reference;column=item.reports_24h;type=comment" in named(found, "drift.input")


def test_what_grows_has_a_value_that_no_rule_judges() -> None:
    found = quiet(24)
    assert set(named(found, "drift.growing")) >= {
        "against=reference;column=account.age_h",
        "against=before;column=account.strikes",
    }
    assert not [slice_ for slice_ in named(found, "drift.input") if "age_h" in slice_]


def test_too_few_predictions_are_a_verdict_without_a_value() -> None:
    found = rows(24, Platform(silent=lambda number: number >= END - 24))
    assert [(row.name, row.value, row.n) for row in found] == [("drift.verdict", None, 0)]
    assert found[0].method == "no verdict: it has no predictions"


def test_windows_end_often_enough_to_be_found_twice_within_their_length() -> None:
    assert [every(hours) // clock.HOUR for hours in (6, 12, 24, 48, 72, 168)] == [1, 2, 4, 8, 12, 24]
    assert verdict_hours((6, 24, 72)) == 24
