"""Whether memory grows during a soak."""

from __future__ import annotations

import numpy as np

from benchmarks.serving.soak import slope_of


def test_the_slope_has_a_lower_bound_that_follows_the_noise() -> None:
    rng = np.random.default_rng(3)
    requests = np.arange(120) * 500.0
    wandering = np.convolve(rng.normal(0, 1, 129), np.ones(10) / 10, "valid")
    slope, lower = slope_of(requests, 300 + wandering)
    assert lower < 0 < slope - lower
    slope, lower = slope_of(requests, 300 + 2e-4 * requests + wandering)
    assert 0 < lower < slope < 3e-4
