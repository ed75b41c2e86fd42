from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from leads.estimates.clusters import observations
from leads.policies import HarmPolicy
from models.thresholds import Thresholds
from training.fit import tiers
from training.fit.tiers import lower_bound


def policy(**tiers: dict[str, float]) -> HarmPolicy:
    return HarmPolicy.model_validate(
        {
            "title": "Spam",
            "subject_types": ("comment",),
            "severity": 1,
            "dsa_category": "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
            **tiers,
        }
    )


def choose(scores: np.ndarray, labels: np.ndarray, policy: HarmPolicy, *, borrowed: bool = False) -> Thresholds:
    """The tiers by rows that are all distinct."""
    return tiers.choose(scores, labels, np.arange(len(scores), dtype=np.uint64), policy, borrowed=borrowed)


@pytest.mark.parametrize(("hits", "of"), [(1, 1), (5, 10), (99, 100), (400, 1_000)])
def test_at_the_lower_bound_so_many_hits_have_a_chance_of_5_percent(hits: int, of: int) -> None:
    bound = lower_bound(np.array([hits]), np.array([of]))[0]
    assert binom.sf(hits - 1, of, bound) == pytest.approx(0.05)


def test_no_hits_bound_nothing() -> None:
    assert lower_bound(np.array([0]), np.array([10]))[0] == 0


def test_a_tier_starts_at_the_lowest_score_that_holds_its_precision() -> None:
    scores = np.repeat([0.9, 0.7, 0.5, 0.1], 100)
    labels = np.concatenate([np.arange(100) < hits for hits in (99, 90, 50, 2)])
    found = choose(scores, labels, policy(review={"precision": 0.7, "at_least": 0.2}, auto={"precision": 0.95}))
    # 239 of 300 hold 0.7; 189 of 200 would not hold 0.95, 99 of 100 do.
    assert (found.review, found.auto) == (0.5, 0.9)
    assert "239 of 300" in found.why["review"]
    assert "99 of 100" in found.why["auto"]


def test_where_no_row_lies_between_the_target_and_the_lowest_cut_review_starts_at_the_target() -> None:
    scores, labels = np.repeat([0.98, 0.02], 200), np.repeat([True, False], 200)
    asked = policy(review={"precision": 0.7, "at_least": 0.2}, auto={"precision": 0.95, "at_least": 0.96})
    found = choose(scores, labels, asked)
    # Nothing is decided without people where no row shows how it would turn out.
    assert (found.review, found.auto) == (0.7, 0.98)
    assert "200 of 200 calibration rows with this score or more violate" in found.why["review"]
    # Rows between them that don't violate show that the calibration rows don't support it.
    found = choose(np.append(scores, [0.8] * 100), np.append(labels, [False] * 100), asked)
    assert (found.review, found.auto) == (0.98, 0.98)


def test_no_tier_starts_below_the_policys_floor() -> None:
    scores, labels = np.linspace(0, 1, 1_000), np.ones(1_000, dtype=np.bool_)
    found = choose(scores, labels, policy(review={"precision": 0.5, "at_least": 0.4}))
    assert found.review is not None
    assert 0.4 <= found.review < 0.402


def test_review_falls_back_to_the_floor_and_auto_never_does() -> None:
    scores, labels = np.linspace(0, 1, 1_000), np.zeros(1_000, dtype=np.bool_)
    found = choose(scores, labels, policy(review={"precision": 0.5, "at_least": 0.4}, auto={"precision": 0.9}))
    assert (found.review, found.auto) == (0.4, None)
    assert "No score has a precision of 0.5" in found.why["review"]
    assert "No score has a precision of 0.9" in found.why["auto"]


def test_few_rows_support_nothing_however_good_they_are() -> None:
    found = choose(np.full(5, 0.99), np.ones(5, dtype=np.bool_), policy(review={"precision": 0.6, "at_least": 0.5}))
    assert found.review == 0.5
    assert "lower bound is 0.549" in found.why["review"]


def test_a_policy_without_auto_has_none_and_says_so() -> None:
    found = choose(np.full(100, 0.99), np.ones(100, dtype=np.bool_), policy(review={"precision": 0.6, "at_least": 0.5}))
    assert found.auto is None
    assert "no auto tier" in found.why["auto"]


def test_low_scores_reach_no_tier() -> None:
    found = choose(np.full(100, 0.1), np.ones(100, dtype=np.bool_), policy(review={"precision": 0.6, "at_least": 0.5}))
    assert found.review == 0.5
    assert "No calibration row has a score of 0.5" in found.why["review"]


def test_when_the_target_holds_in_truth_the_bound_is_seldom_above_it() -> None:
    """The share of worlds in which 200 rows of true precision 0.8 are taken to be better than that."""
    hits = np.random.default_rng(0).binomial(200, 0.8, 2_000)
    assert (lower_bound(hits, np.full(2_000, 200)) > 0.8).mean() < 0.06


def test_a_tier_that_is_offered_holds_its_precision_in_truth() -> None:
    """Scores say nothing, four in ten rows violate: whoever looks at every cut finds one that seems to hold 0.5."""
    offered = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        scores, labels = random.random(800), random.random(800) < 0.45
        found = choose(scores, labels, policy(review={"precision": 0.1}, auto={"precision": 0.5, "at_least": 0.01}))
        offered += found.auto is not None
    assert offered / 300 < 0.07


def test_a_lucky_cut_further_down_is_not_taken() -> None:
    """The best rows fail, so what lies below them is never reached from above."""
    labels = np.concatenate([np.zeros(150), np.ones(850)]).astype(np.bool_)
    found = choose(np.linspace(1, 0.5, 1_000), labels, policy(review={"precision": 0.3}, auto={"precision": 0.7}))
    assert found.auto is None


def test_rows_of_public_corpora_justify_no_auto_tier() -> None:
    scores, labels = np.full(1_000, 0.99), np.ones(1_000, dtype=np.bool_)
    asked = policy(review={"precision": 0.6}, auto={"precision": 0.9})
    assert choose(scores, labels, asked).auto == 0.99
    found = choose(scores, labels, asked, borrowed=True)
    assert found.auto is None
    assert found.review == 0.6
    assert "public corpora can't justify" in found.why["auto"]


def test_copies_of_one_text_support_no_tier() -> None:
    """500 copies of one spam text are one observation, so they can't justify deciding without a human."""
    scores, labels = np.full(500, 0.99), np.ones(500, dtype=np.bool_)
    asked = policy(review={"precision": 0.6}, auto={"precision": 0.9})
    copies = np.zeros(500, dtype=np.uint64)
    found = tiers.choose(scores, labels, copies, asked)
    assert (found.review, found.auto) == (0.5, None)
    assert "500 of 500 calibration rows (worth 1 distinct ones)" in found.why["auto"]
    # Next to copies, a hundred distinct texts still support one.
    apart = np.append(np.arange(100, dtype=np.uint64), np.repeat(np.arange(100, 180, dtype=np.uint64), 5))
    assert tiers.choose(scores, labels, apart, asked).auto == 0.99


def test_observations_are_counted_as_of_each_cut() -> None:
    groups = np.array([5, 5, 7, 5, 9], dtype=np.uint64)
    by_hand = [observations(groups[: i + 1]) for i in range(5)]
    assert tiers._observations(groups) == pytest.approx(by_hand)
