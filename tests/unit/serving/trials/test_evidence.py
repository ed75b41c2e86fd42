"""A limit counts as passed only when chance can hardly explain it, however often it is tested."""

from __future__ import annotations

import numpy as np
import pytest

from serving.trials.evidence import ALPHA, Evidence, significantly_above


def test_the_bound_holds_for_shares_at_the_limit() -> None:
    """For a true mean at the limit, the false-positive rate of one look is at most alpha."""
    random = np.random.default_rng(0)
    for limit, n in ((0.01, 50), (0.1, 200), (0.5, 30)):
        means = random.binomial(n, limit, size=20_000) / n
        wrong = np.mean([significantly_above(mean, n, limit, 0.05) for mean in means.tolist()])
        assert wrong <= 0.05


@pytest.mark.parametrize(("mean", "n"), [(0.1, 10**9), (0.05, 10**9), (1.0, 0), (0.0, 5)])
def test_a_mean_that_is_not_above_is_never_significantly_above(mean: float, n: int) -> None:
    assert not significantly_above(mean, n, 0.1, 0.5)


def test_twenty_of_twenty_is_above_any_limit_but_two_of_two_is_not() -> None:
    assert significantly_above(1.0, 20, 0.5, ALPHA)
    assert not significantly_above(1.0, 2, 0.5, ALPHA)


def test_repeated_looks_keep_false_positives_rare() -> None:
    random = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        evidence = Evidence(0.1, first=20, looks=6)
        wrong += any(evidence.add(1, float(hit)) for hit in random.random(2_000) < 0.1)
    assert wrong <= 2


def test_late_failures_are_not_outweighed_by_early_success() -> None:
    evidence = Evidence(0.01, first=1)
    assert not any(evidence.add(1, 0.0) for _ in range(100_000))
    after = next(n for n in range(10_000) if evidence.add(1, 1.0))
    assert after < 3_000
    assert evidence.n == 100_001 + after


def test_the_mean_of_nothing_is_nan() -> None:
    evidence = Evidence(0.1, first=1)
    assert np.isnan(evidence.mean)
    assert not evidence.add(0, 0.0)
    assert np.isnan(evidence.seen[0])
