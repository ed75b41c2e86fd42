from __future__ import annotations

import numpy as np
import pytest

from models.thresholds import Thresholds
from training.report import paired
from training.report.calibration import ECE_BINS, by_chance, ece, reliability
from training.report.evaluate import at_tiers, evaluate


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
    p = np.array([by_chance(*world(600, seed), seed=seed).p for seed in range(120)])
    assert 0.4 < p.mean() < 0.6
    assert (p < 0.05).mean() < 0.12


def test_scores_that_claim_too_much_are_found_out() -> None:
    p = [by_chance(*world(2_000, seed, power=1.3), seed=seed).p for seed in range(10)]
    assert np.median(p) < 0.05


def test_equal_calls_give_equal_p() -> None:
    scores, labels = world(500, 3)
    assert by_chance(scores, labels, seed=4) == by_chance(scores, labels, seed=4)


def distinct(n: int) -> np.ndarray:
    """Groups of n rows that are all distinct."""
    return np.arange(n, dtype=np.uint64)


def test_equal_texts_share_their_label_so_chance_explains_more() -> None:
    """Calibrated scores of texts with eight copies each: as eight observations they would often look miscalibrated."""
    by_row, by_text = [], []
    for seed in range(60):
        scores, labels = world(80, seed)
        scores, labels, groups = (np.repeat(each, 8) for each in (scores, labels, distinct(80)))
        by_row.append(by_chance(scores, labels, seed=seed).p)
        by_text.append(by_chance(scores, labels, groups=groups, seed=seed).p)
    assert (np.array(by_row) < 0.05).mean() > 0.5
    assert (np.array(by_text) < 0.05).mean() < 0.15


def test_tiers_are_counted_among_the_test_rows() -> None:
    scores = np.array([0.1, 0.4, 0.6, 0.95])
    labels = np.array([False, True, False, True])
    review, auto = at_tiers(scores, labels, distinct(4), Thresholds(review=0.4, auto=0.99, why={}))
    assert (review.rows, review.distinct) == (3, 3)
    assert review.precision is not None
    assert review.recall is not None
    assert (review.precision.found, review.recall.found) == (pytest.approx(2 / 3), 1.0)
    assert (auto.rows, auto.precision) == (0, None)
    assert auto.recall is not None
    assert auto.recall.found == 0


def test_every_figure_is_scikit_learns_and_has_an_interval_around_it() -> None:
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    scores, labels = world(600, 7)
    scores = np.round(scores, 2)
    found = evaluate(scores, labels, distinct(600), Thresholds(review=0.4, auto=None, why={}), seed=0)
    expected = {"ap": average_precision_score, "roc_auc": roc_auc_score, "brier": brier_score_loss}
    for name, measure in expected.items():
        interval = getattr(found, name)
        assert interval.found == pytest.approx(measure(labels, scores)), name
        assert interval.low < interval.found < interval.high, name
    assert found.ece is not None
    assert found.ece.found == pytest.approx(ece(scores, labels))
    (review,) = found.tiers
    for interval in (review.precision, review.recall):
        assert interval is not None
        assert interval.low < interval.found < interval.high


@pytest.mark.parametrize(("n", "copies", "missing"), [(16, 2, True), (18, 40, True), (60, 2, False)])
def test_too_few_distinct_rows_are_not_measured(n: int, copies: int, missing: bool) -> None:
    """A file next to a copy of itself gave 32 held-out rows, 16 of them distinct, and AP 1.000 (1.000 to 1.000)."""
    labels = np.repeat(np.arange(n) % 2 == 0, copies)
    groups = np.repeat(distinct(n), copies)
    found = evaluate(np.where(labels, 0.9, 0.1), labels, groups, Thresholds(0.5, None, {}), seed=0)
    assert (found.evidence.rows, found.evidence.distinct) == (n * copies, n)
    assert (found.ap is None) is (found.brier is None) is (found.ece is None) is missing
    assert bool(found.missing) is missing
    if missing:
        lacking = 10 - n // 2
        assert f"Missing: {lacking} violating and {lacking} others." in found.missing


def test_a_perfect_ranking_still_has_an_interval() -> None:
    labels = np.arange(60) % 2 == 0
    found = evaluate(np.where(labels, 0.9, 0.1), labels, distinct(60), Thresholds(0.5, None, {}), seed=0)
    assert found.ap is not None
    assert (found.ap.found, found.ap.low) == (1.0, pytest.approx(0.025 ** (1 / 30)))


def test_copies_narrow_no_interval() -> None:
    scores, labels = world(200, 4)
    once = evaluate(scores, labels, distinct(200), Thresholds(0.4, None, {}), seed=0)
    copied = (np.repeat(each, 5) for each in (scores, labels, distinct(200)))
    often = evaluate(*copied, Thresholds(0.4, None, {}), seed=0)
    for name in ("ap", "roc_auc", "brier"):
        before, after = getattr(once, name), getattr(often, name)
        assert after.found == pytest.approx(before.found)
        assert after.high - after.low == pytest.approx(before.high - before.low, rel=0.1)
    assert once.tiers[0].precision == often.tiers[0].precision


def test_the_interval_of_a_share_is_wilsons() -> None:
    hits = np.arange(10) < 8
    found = paired.share(hits, distinct(10))
    assert found is not None
    assert (round(found.low, 3), round(found.high, 3)) == (0.490, 0.943)
    assert paired.share(hits[:0], distinct(0)) is None


def test_reliability_covers_every_row() -> None:
    bins = reliability(*world(1_001, 5))
    assert sum(size for _, _, size in bins) == 1_001
    assert [claimed for claimed, _, _ in bins] == sorted(claimed for claimed, _, _ in bins)
