"""Shortfalls of counts: sure of a stop, and quiet about noise."""

from __future__ import annotations

import numpy as np
import pytest

from leads.estimates.counts import clumping, shortfall


def test_independent_events_have_no_clumps_whatever_the_rhythm_of_the_day() -> None:
    draw = np.random.default_rng(1)
    rhythm = 500 * (1.2 + np.sin(np.arange(216) * 2 * np.pi / 24))
    assert clumping(draw.poisson(rhythm).astype(float)) < 1.5
    assert 2 < clumping(4.0 * draw.poisson(rhythm / 4)) < 6


def test_unknown_hours_are_left_out() -> None:
    assert clumping(np.full(20, np.nan)) == 1.0
    assert clumping(np.array([1.0, 2.0])) == 1.0


@pytest.mark.parametrize(("n", "sure"), [(0, True), (20, True), (100, False), (900, False)])
def test_only_a_count_far_below_all_earlier_ones_is_surely_missing(n: int, sure: bool) -> None:
    found = shortfall(n, [1000, 900, 1100, 950, 1050, 400, 980], clumps=1.5, alpha=1e-6)
    assert found.value == pytest.approx(1 - n / 980)
    assert found.lo <= found.value <= found.hi
    assert (found.lo > 0.9) is sure


def test_nothing_is_expected_of_a_feed_that_was_silent() -> None:
    assert np.isnan(shortfall(0, [0, 0, 0], clumps=1, alpha=1e-6).value)
