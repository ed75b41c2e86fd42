"""The tally of differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leads import clock
from monitoring.skew.results import Lag, Tally
from tests.support.skew_parts import logged_of


def test_a_tally_adds_up_chunks_and_keeps_the_largest_difference() -> None:
    tally, nan = Tally(checked=100), float("nan")
    first = logged_of(3)
    tally.add_difference("value", "item.age_h", first, np.array([2]), np.array([nan]), np.array([1.0]))
    assert math.isnan(tally.differences()[0].largest)
    tally.add_difference("value", "item.age_h", first, np.array([0, 1]), np.array([1.0, 5.0]), np.array([2.0, 2.0]))
    tally.add_difference("value", "item.age_h", first, np.array([2]), np.array([nan]), np.array([1.0]))
    tally.add_difference("stale row", "item row", first, np.array([0]), np.array([nan]), np.array([4.0]))
    age, row = tally.differences()
    assert (age.column, age.predictions, age.largest, age.example.prediction_id) == ("item.age_h", 4, 3.0, "p1")
    assert (age.example.served, age.example.expected) == (5.0, 2.0)
    assert (row.kind, row.column, row.predictions) == ("stale row", "item row", 1)
    assert tally.lag() == Lag(0.0, 0.0, 0.0, 0.0)
    tally.add_lags(np.array([clock.SECOND]))
    tally.add_lags(np.array([3 * clock.SECOND]))
    assert tally.lag() == pytest.approx((0.02, 2.0, 2.98, 3.0))
