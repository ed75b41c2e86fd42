"""The benchmark of drift's speed does what it says, on few rows."""

from __future__ import annotations

import pytest

from benchmarks.monitoring import speed


def test_each_side_measures_time_and_memory() -> None:
    for side in (speed._ours, speed._many):
        found = side(2_000)
        assert found["s"] > 0
        assert found["mb"] > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_sketches_cost_little() -> None:
    found = speed._error(5_000)
    assert found["quantile"] <= 0.04
    assert found["distance"] <= 0.03
