"""The job `skew`."""

from __future__ import annotations

from monitoring.performance.skewed import NAME, SKEW
from monitoring.watch.world import Skewed
from tests.support.monitoring.planned_world import NOW, PlannedWorld, named


def test_the_share_that_differs_has_an_interval() -> None:
    found = named(PlannedWorld(skewed=Skewed(5_000, 50)).run(SKEW, "spam", NOW), NAME)
    assert (found.value, found.n) == (0.01, 5_000)
    assert 0.001 < found.lo < 0.01 < found.hi  # type: ignore[operator]


def test_nothing_that_could_be_checked_has_no_row() -> None:
    assert PlannedWorld().run(SKEW, "spam", NOW) == []
    assert PlannedWorld(skewed=Skewed(0, 0)).run(SKEW, "spam", NOW) == []
