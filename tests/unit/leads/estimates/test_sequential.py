"""The evidence against calibrated scores: false alarms under any number of looks, and power."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leads.estimates.sequential import calibration_evidence

ALARM = math.log(100)
LOOKS = range(20, 401, 20)


def alarms(draw: np.random.Generator, bias: float, *, shape: str = "shift") -> bool:
    """Whether any of twenty looks at a growing sequence raises the alarm."""
    scores = draw.uniform(0.3, 0.95, 400)
    truth = scores + bias if shape == "shift" else scores + bias * (2 * scores - 1)
    labels = draw.random(400) < np.clip(truth, 0, 1)
    starts = np.arange(0, 400, 57)
    return any(
        calibration_evidence(scores[:n], labels[:n], tolerance=0.05, starts=starts[starts < n]) > ALARM for n in LOOKS
    )


@pytest.mark.parametrize("bias", [0.0, 0.05, -0.05])
def test_scores_within_the_tolerance_hardly_ever_alarm_with_any_number_of_looks(bias: float) -> None:
    draw = np.random.default_rng(16)
    assert sum(alarms(draw, bias) for _ in range(300)) <= 3


def test_scores_that_are_off_are_found() -> None:
    draw = np.random.default_rng(17)
    assert sum(alarms(draw, -0.25) for _ in range(60)) >= 54
    assert sum(alarms(draw, 0.3) for _ in range(60)) >= 54
    assert sum(alarms(draw, -0.45, shape="too extreme") for _ in range(60)) >= 40


def test_a_late_change_is_found_faster_by_a_bettor_who_starts_late() -> None:
    draw = np.random.default_rng(18)
    scores = draw.uniform(0.3, 0.95, 700)
    truth = np.where(np.arange(700) < 500, scores, scores - 0.3)
    labels = draw.random(700) < truth
    late = calibration_evidence(scores, labels, tolerance=0.05, starts=np.array([0, 500]))
    assert late > ALARM
    assert late > calibration_evidence(scores, labels, tolerance=0.05, starts=np.array([0]))


def test_nothing_is_no_evidence() -> None:
    assert calibration_evidence(np.empty(0), np.empty(0, bool), tolerance=0.05, starts=np.array([0])) == 0.0
