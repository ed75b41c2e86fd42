"""The job `performance`: precision, promises, calibration and agreement of what was reviewed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leads import clock
from leads.db.monitoring.decided import Decided, Pair, Verdict
from monitoring.performance.labels import labels
from monitoring.performance.weekly import AGREEMENT, CALIBRATION, DEFICIT, EXPECTED, GAP, PERFORMANCE, PRECISION
from monitoring.summaries.summary import Summary
from monitoring.watch.world import Hour
from tests.support.monitoring.planned_world import NOW, PlannedWorld, named, verdict

ALARM = math.log(100)


def reviewed(n: int, *, bias: float = 0.0, seed: int = 1, low: float = 0.6) -> list[Verdict]:
    """A week of verdicts whose share of violating leads is the score and a bias."""
    draw = np.random.default_rng(seed)
    scores = draw.uniform(low, 0.95, n)
    labels = draw.random(n) < np.clip(scores + bias, 0, 1)
    at = np.sort(NOW - draw.integers(1, 7 * clock.DAY, n))
    return [verdict(int(at[i]), float(scores[i]), bool(labels[i]), i) for i in range(n)]


def test_figures_of_calibrated_scores_raise_nothing() -> None:
    for seed in range(10):
        rows = PlannedWorld(verdicts=reviewed(300, seed=seed)).run(PERFORMANCE, "spam", NOW)
        precision = named(rows, PRECISION)
        assert (precision.n, precision.version) == (300, "1")
        assert 0.6 < precision.lo < precision.value < precision.hi < 0.95  # type: ignore[operator]
        assert named(rows, DEFICIT).lo < 0.1  # type: ignore[operator]
        assert named(rows, GAP).lo < 0.1  # type: ignore[operator]
        assert named(rows, CALIBRATION).value < ALARM  # type: ignore[operator]
        assert named(rows, PRECISION, "tier=review").value == precision.value


def test_a_precision_far_below_target_and_promise_is_surely_low() -> None:
    rows = PlannedWorld(verdicts=reviewed(200, bias=-0.45)).run(PERFORMANCE, "spam", NOW)
    assert named(rows, DEFICIT).lo > 0.1  # type: ignore[operator]
    assert named(rows, GAP).lo > 0.1  # type: ignore[operator]
    assert named(rows, CALIBRATION).value > ALARM  # type: ignore[operator]


def test_more_violating_leads_than_promised_are_a_gap_too() -> None:
    rows = PlannedWorld(verdicts=reviewed(200, bias=0.45, low=0.3)).run(PERFORMANCE, "spam", NOW)
    assert named(rows, GAP).lo > 0.1  # type: ignore[operator]
    assert named(rows, DEFICIT).lo < 0  # type: ignore[operator]


def test_a_version_that_never_promised_the_target_has_no_deficit() -> None:
    honest = [one._replace(score=0.35, violating=i % 3 == 0) for i, one in enumerate(reviewed(200))]
    assert named(PlannedWorld(verdicts=honest).run(PERFORMANCE, "spam", NOW), DEFICIT).lo < 0.1  # type: ignore[operator]


def test_copies_of_a_text_and_leads_of_an_account_are_one_observation() -> None:
    copies = [one._replace(content="copied", violating=False) for one in reviewed(100)]
    of_one = [one._replace(account="account:a1", violating=False) for one in reviewed(100)]
    for found in (copies, of_one):
        assert labels(found).worth == 1
        rows = PlannedWorld(verdicts=found).run(PERFORMANCE, "spam", NOW)
        assert not [row for row in rows if row.name == PRECISION]
        assert (named(rows, CALIBRATION).n, named(rows, CALIBRATION).value < ALARM) == (1, True)  # type: ignore[operator]


def test_leads_without_a_tier_are_not_flagged() -> None:
    assert not len(labels([one._replace(tier="none") for one in reviewed(20)]))


def test_calibration_is_about_the_version_that_predicts_now() -> None:
    old = reviewed(200, bias=-0.45)
    hours = [Hour(NOW - clock.HOUR, "2", Summary(10, 10, by_tier={"review": (4, 3.0), "none": (6, 0.6)}))]
    world = PlannedWorld(verdicts=old, hours=hours)
    rows = world.run(PERFORMANCE, "spam", NOW)
    found = named(rows, CALIBRATION)
    assert (found.version, found.n, found.value) == ("2", 0, 0.0)
    assert (named(rows, EXPECTED).value, named(rows, EXPECTED).n) == (0.75, 4)


def test_slices_of_several_types_have_figures_of_their_own() -> None:
    found = reviewed(100)
    mixed = [
        one._replace(subject=one.subject._replace(type_id="track")) if i % 2 else one for i, one in enumerate(found)
    ]
    rows = PlannedWorld(verdicts=mixed).run(PERFORMANCE, "spam", NOW)
    assert named(rows, PRECISION, "type=track").n == named(rows, PRECISION, "type=comment").n == 50


def test_slices_of_the_policy_have_figures_of_their_own() -> None:
    found = reviewed(100)
    languages = {one.subject: "de" if i < 30 else "en" for i, one in enumerate(found) if i < 95}
    rows = PlannedWorld(verdicts=found, languages=languages).run(PERFORMANCE, "spam", NOW)
    assert named(rows, PRECISION, "language=de").n == 30
    assert named(rows, PRECISION, "language=en").n == 65
    of_one = PlannedWorld(verdicts=found, languages=dict.fromkeys(languages, "en")).run(PERFORMANCE, "spam", NOW)
    assert not [row for row in of_one if row.slice.startswith("language")]


def test_agreement_is_measured_by_purpose() -> None:
    pairs = (*(Pair(NOW - clock.HOUR, "second", i > 0) for i in range(10)), Pair(NOW - 1, "automation", True))
    rows = PlannedWorld(decided=Decided((), pairs)).run(PERFORMANCE, "spam", NOW)
    assert named(rows, AGREEMENT, "purpose=second").value == pytest.approx(0.9)
    assert named(rows, AGREEMENT, "purpose=automation").n == 1


def test_a_harm_without_decisions_has_no_rows() -> None:
    assert PlannedWorld().run(PERFORMANCE, "spam", NOW) == []


@pytest.mark.slow
def test_calibrated_scores_hardly_ever_alarm_over_a_year_of_daily_looks() -> None:
    draw = np.random.default_rng(11)
    n = 365 * 30
    scores = draw.uniform(0.3, 0.95, n)
    right = draw.random(n) < scores
    at = np.sort(NOW - draw.integers(1, 365 * clock.DAY, n))
    world = PlannedWorld(verdicts=[verdict(int(at[i]), float(scores[i]), bool(right[i]), i) for i in range(n)])
    found = [world.run(PERFORMANCE, "spam", until) for until in range(NOW - 358 * clock.DAY, NOW + 1, clock.DAY)]
    assert max(named(rows, CALIBRATION).value or 0 for rows in found) < ALARM
    assert max(named(rows, DEFICIT).lo or 0 for rows in found) < 0.1
