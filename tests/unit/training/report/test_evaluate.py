from __future__ import annotations

import numpy as np
import pytest

from models.thresholds import Thresholds
from training.report.evaluate import ECE_BINS, brier, ece, ece_p_value, evaluate, reliability


def world(n: int, seed: int, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels whose chance is the score to `power`: 1 is perfect calibration."""
    random = np.random.default_rng(seed)
    scores = random.beta(0.6, 3, n)
    return scores, random.random(n) < scores**power


def test_ece_is_the_mean_gap_over_bins_of_equal_mass() -> None:
    scores, labels = world(1_000, 1)
    parts = np.array_split(np.argsort(scores, kind="stable"), ECE_BINS)
    by_hand = sum(len(part) / 1_000 * abs(scores[part].mean() - labels[part].mean()) for part in parts)
    assert ece(scores, labels) == pytest.approx(by_hand)


def test_ece_of_fewer_rows_than_bins() -> None:
    assert ece(np.array([0.2, 0.9]), np.array([False, True])) == pytest.approx(0.15)


def test_p_is_uniform_under_perfect_calibration() -> None:
    p = np.array([ece_p_value(*world(600, seed), seed=seed) for seed in range(120)])
    assert 0.4 < p.mean() < 0.6
    assert (p < 0.05).mean() < 0.12


def test_scores_that_claim_too_much_are_found_out() -> None:
    p = [ece_p_value(*world(2_000, seed, power=1.3), seed=seed) for seed in range(10)]
    assert np.median(p) < 0.05


def test_equal_calls_give_equal_p() -> None:
    scores, labels = world(500, 3)
    assert ece_p_value(scores, labels, seed=4) == ece_p_value(scores, labels, seed=4)


def test_tiers_are_counted_among_the_test_rows() -> None:
    scores = np.array([0.1, 0.4, 0.6, 0.95])
    labels = np.array([False, True, False, True])
    found = evaluate(scores, labels, Thresholds(review=0.4, auto=0.99, why={}), seed=0)
    review, auto = found.tiers
    assert (review.rows, review.precision, review.recall) == (3, 2 / 3, 1.0)
    assert (auto.rows, auto.precision, auto.recall) == (0, None, 0.0)
    assert found.ap == pytest.approx(5 / 6)
    assert found.roc_auc == 0.75
    assert found.brier == brier(scores, labels) == pytest.approx((0.01 + 0.36 + 0.36 + 0.0025) / 4)


def test_reliability_covers_every_row() -> None:
    bins = reliability(*world(1_001, 5))
    assert sum(size for _, _, size in bins) == 1_001
    assert [claimed for claimed, _, _ in bins] == sorted(claimed for claimed, _, _ in bins)
