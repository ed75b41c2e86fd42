from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from training.fit.calibrate import fit_calibrator
from training.report.calibration import by_chance

pytestmark = pytest.mark.slow


def world(n: int, seed: int, log_odds: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    margins = random.normal(-2, 1.5, n)
    return margins, random.random(n) < 1 / (1 + np.exp(-log_odds(margins))), random.integers(0, 5, n)


def straight(margins: np.ndarray) -> np.ndarray:
    return 0.6 * margins - 0.5


def bent(margins: np.ndarray) -> np.ndarray:
    return np.where(margins < -2, 0.2 * margins - 3, np.minimum(2.2 * margins + 1, 0.3 * margins + 0.8))


@pytest.mark.parametrize("log_odds", [straight, bent])
def test_probabilities_are_calibrated_on_new_rows(log_odds: Callable[[np.ndarray], np.ndarray]) -> None:
    p = []
    for seed in range(6):
        calibrator = fit_calibrator(*world(6_000, seed, log_odds))
        margins, labels, _ = world(2_000, 100 + seed, log_odds)
        p.append(by_chance(calibrator.score(margins), labels, seed=seed).p)
    assert np.median(p) > 0.1


def test_a_straight_world_stays_straight() -> None:
    calibrator = fit_calibrator(*world(4_000, 1, straight))
    slopes = np.diff(calibrator.log_odds) / np.diff(calibrator.margins)
    assert np.allclose(slopes, slopes[0], rtol=0.05)
    assert slopes[0] == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("margins", [np.zeros(100), np.repeat([-1.0, 1.0], 50)])
def test_few_distinct_margins_are_enough(margins: np.ndarray) -> None:
    labels = np.arange(100) % 4 == 0
    scores = fit_calibrator(margins, labels, np.arange(100) % 5).score(margins)
    assert scores.mean() == pytest.approx(0.25, abs=0.02)


def test_separable_rows_give_finite_scores() -> None:
    margins = np.concatenate((np.full(50, -3.0), np.full(50, 3.0))) + np.linspace(0, 0.1, 100)
    labels = margins > 0
    scores = fit_calibrator(margins, labels, np.arange(100) % 5).score(margins)
    assert ((scores > 0) & (scores < 1)).all()
    assert scores[labels].min() > 0.9
