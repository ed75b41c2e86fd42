"""Windows that differ by more than chance raise thresholds by as much as they differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from leads.estimates.intervals import cohens_h
from monitoring.drift.statistics import Shares, category_distance
from monitoring.drift.variation import NONE, Dispersion, Varied, between, dispersion

Doubles = npt.NDArray[np.float64]


def of_shares(shares: Doubles, rows: int) -> Dispersion:
    counts = np.random.default_rng(1).binomial(rows, shares)
    apart = cohens_h(counts / rows, np.array(counts.sum() / (rows * len(shares))))
    return dispersion(apart, np.full(len(shares), float(rows)), 1.0)


def shares(share: float) -> Shares:
    return Shares(*(np.array([value]) for value in (share, 500.0, 0.2, 5_000.0)))


def test_windows_that_differ_by_chance_alone_change_little() -> None:
    found = of_shares(np.full(200, 0.2), 500)
    assert found.square == pytest.approx(found.by_chance, rel=0.25)
    spread, free = between([found])
    assert spread[0] < 0.04
    assert free[0] == 199 + 8


def test_windows_that_differ_are_measured_by_how_much() -> None:
    random = np.random.default_rng(2)
    found = of_shares(np.clip(random.normal(0.2, 0.04, 200), 0.01, 0.99), 500)
    # On the scale of Cohen's h, a share of 0.2 varies by 1/√(0.2 × 0.8) times as much.
    assert between([found])[0][0] == pytest.approx(0.1, rel=0.2)


def test_without_windows_chance_alone_decides() -> None:
    spread, free = between([NONE])
    assert spread[0] == 0
    chance = shares(0.25)
    varied = Varied(chance, spread, free)
    assert varied.threshold(1e-4)[0] == pytest.approx(chance.threshold(np.array([1e-4]))[0])


def test_p_is_reached_at_the_threshold() -> None:
    for p in (1e-2, 1e-5, 1e-12):
        limit = Varied(shares(0.3), np.array([0.05]), np.array([20.0])).threshold(p)[0]
        at = np.sin(limit / 2 + np.arcsin(np.sqrt(0.2))) ** 2
        found = Varied(shares(float(at) + 1e-9), np.array([0.05]), np.array([20.0]))
        assert found.p()[0] == pytest.approx(p, rel=0.05)


def test_no_threshold_is_above_the_largest_distance_there_can_be() -> None:
    wide = Varied(shares(0.9), np.array([2.0]), np.array([10.0]))
    assert wide.threshold(1e-6)[0] == pytest.approx(cohens_h(np.array([1.0]), np.array([0.2]))[0])
    fewer = Varied(shares(0.1), np.array([2.0]), np.array([10.0]))
    assert fewer.threshold(1e-6)[0] == pytest.approx(cohens_h(np.array([0.0]), np.array([0.2]))[0])
    every = np.array([1.0, 0.0])
    other = Varied(category_distance(every, every[::-1], 500.0, 500.0), np.array([2.0]), np.array([10.0]))
    assert other.threshold(1e-6)[0] == 1.0


def test_fewer_windows_raise_thresholds() -> None:
    few, many = (Varied(shares(0.3), np.array([0.05]), np.array([free])).threshold(1e-6)[0] for free in (10.0, 100.0))
    assert few > 1.3 * many


def test_a_precise_distance_is_not_drawn_towards_others() -> None:
    varied = Dispersion(4.0, 1.0, 9)
    spread, _ = between([varied, varied, Dispersion(1.0, 1.0, 9), Dispersion(1.0, 1.0, 9, precise=True)])
    assert spread[2] > 0.5
    assert spread[3] == 0


def test_a_window_without_rows_is_left_out() -> None:
    assert dispersion(np.array([0.1]), np.array([5.0]), 1.0) == NONE
    assert dispersion(np.array([0.1, 0.2, 0.3]), np.array([5.0, 0.0, 5.0]), 1.0).free == 1
