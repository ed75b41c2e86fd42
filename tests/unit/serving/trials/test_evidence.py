"""A limit counts as passed when it hardly can be chance, however often it is looked at."""

from __future__ import annotations

import numpy as np
import pytest

from serving.trials.evidence import ALPHA, Evidence, surely_above


def test_the_bound_holds_for_shares_at_the_limit() -> None:
    """Exactly at the limit a single look is wrong no more often than asked."""
    random = np.random.default_rng(0)
    for limit, n in ((0.01, 50), (0.1, 200), (0.5, 30)):
        means = random.binomial(n, limit, size=20_000) / n
        wrong = np.mean([surely_above(mean, n, limit, 0.05) for mean in means.tolist()])
        assert wrong <= 0.05


@pytest.mark.parametrize(("mean", "n"), [(0.1, 10**9), (0.05, 10**9), (1.0, 0), (0.0, 5)])
def test_what_is_not_above_is_never_surely_above(mean: float, n: int) -> None:
    assert not surely_above(mean, n, 0.1, 0.5)


def test_all_of_some_is_above_any_limit() -> None:
    assert surely_above(1.0, 20, 0.5, ALPHA)
    assert not surely_above(1.0, 2, 0.5, ALPHA)


def test_looking_again_and_again_stays_rarely_wrong() -> None:
    random = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        evidence = Evidence(0.1, first=20, looks=6)
        wrong += any(evidence.add(1, float(hit)) for hit in random.random(2_000) < 0.1)
    assert wrong <= 2


def test_what_begins_late_is_not_outweighed_by_what_went_well() -> None:
    evidence = Evidence(0.01, first=1)
    assert not any(evidence.add(1, 0.0) for _ in range(100_000))
    after = next(n for n in range(10_000) if evidence.add(1, 1.0))
    assert after < 3_000
    assert evidence.n == 100_001 + after


def test_nothing_yet_is_no_number() -> None:
    evidence = Evidence(0.1, first=1)
    assert np.isnan(evidence.mean)
    assert not evidence.add(0, 0.0)
    assert np.isnan(evidence.seen[0])
