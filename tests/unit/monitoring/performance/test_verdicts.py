"""The job `verdicts`: another policy for labels is found in time, and ordinary weeks are quiet."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from leads import clock
from leads.db.monitoring.decided import Verdict
from monitoring.performance.verdicts import NAME, VERDICTS
from tests.support.monitoring.planned_world import NOW, PlannedWorld, named, verdict

AGAINST = "against=before"


def decisions(
    seed: int, *, days: int = 40, daily: int = 30, bias: Callable[[float], float] = lambda day: 0.0
) -> list[Verdict]:
    """Verdicts over some days up to now; `bias` gives what is added to the scores, by days before now."""
    draw = np.random.default_rng(seed)
    n = days * daily
    at = np.sort(NOW - draw.integers(1, days * clock.DAY, n))
    scores = draw.uniform(0.3, 0.95, n)
    truth = [score + bias((NOW - when) / clock.DAY) for when, score in zip(at.tolist(), scores.tolist(), strict=True)]
    labels = draw.random(n) < np.clip(truth, 0, 1)
    return [verdict(int(at[i]), float(scores[i]), bool(labels[i]), i) for i in range(n)]


def test_a_change_of_policy_shows_within_three_days() -> None:
    found = 0
    for seed in range(20):
        world = PlannedWorld(verdicts=decisions(seed, bias=lambda day: -0.35 if day < 3 else 0.0))
        ends = (NOW - clock.DAY, NOW - clock.DAY // 2, NOW)
        found += sum((named(world.run(VERDICTS, "spam", until), NAME, AGAINST).lo or 0) > 0 for until in ends) >= 2
    assert found >= 19


@pytest.mark.slow
def test_ordinary_weeks_are_quiet_also_with_scores_that_are_always_off() -> None:
    for seed, off in ((1, 0.0), (2, -0.2)):
        world = PlannedWorld(verdicts=decisions(seed, days=400, bias=lambda day, off=off: off))  # type: ignore[misc]
        ends = range(NOW - 360 * clock.DAY, NOW + 1, clock.DAY // 2)
        beyond = [(named(world.run(VERDICTS, "spam", until), NAME, AGAINST).lo or 0) > 0 for until in ends]
        assert sum(a and b for a, b in pairwise(beyond)) <= 1


def test_too_few_verdicts_say_nothing() -> None:
    assert PlannedWorld(verdicts=decisions(1, daily=3)).run(VERDICTS, "spam", NOW) == []
    assert PlannedWorld().run(VERDICTS, "spam", NOW) == []
