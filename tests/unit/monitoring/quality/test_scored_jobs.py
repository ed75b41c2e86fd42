"""The jobs `predictions`, `worker` and `queue`."""

from __future__ import annotations

import numpy as np
import pytest

from leads import clock
from monitoring.quality.scored import GAP, LAG, MISSING, OLDEST, PREDICTIONS, QUEUE, VOLUME, WORKER
from monitoring.watch.jobs import PLATFORM
from monitoring.watch.world import Hour, Waiting
from tests.support.monitoring.planned_world import NOW, PlannedWorld, hour_of, named


def scored(hours: int, *, stopped: int = 0, n: int = 800) -> list[Hour]:
    draw = np.random.default_rng(1)
    return [
        hour_of(at, {"score": draw.random(int(draw.poisson(n)))})
        for at in range(NOW - hours * clock.HOUR, NOW - stopped * clock.HOUR, clock.HOUR)
    ]


def test_predictions_that_stop_are_missed() -> None:
    rows = PlannedWorld(hours=scored(240, stopped=2)).run(PREDICTIONS, "spam", NOW)
    assert named(rows, VOLUME).value == 0
    assert named(rows, GAP).value == 2
    assert named(rows, MISSING).lo > 0.9  # type: ignore[operator]


def test_predictions_as_usual_are_not_missing() -> None:
    rows = PlannedWorld(hours=scored(240)).run(PREDICTIONS, "spam", NOW)
    assert named(rows, GAP).value == 0
    assert abs(named(rows, MISSING).value or 1) < 0.2


def test_a_harm_that_was_never_scored_has_no_rows() -> None:
    assert PlannedWorld().run(PREDICTIONS, "spam", NOW) == []
    assert named(PlannedWorld(hours=scored(2)).run(PREDICTIONS, "spam", NOW), VOLUME).n > 0


def test_the_worker_is_late_by_the_age_of_the_oldest_event() -> None:
    world = PlannedWorld(NOW + clock.MINUTE, hours=scored(24), waiting=Waiting(NOW, 7))
    found = named(world.run(WORKER, PLATFORM, NOW + clock.HOUR), LAG)
    assert (found.value, found.n) == (60, 7)
    caught_up = PlannedWorld(NOW + clock.MINUTE, hours=scored(24))
    assert named(caught_up.run(WORKER, PLATFORM, NOW + clock.HOUR), LAG).value == 0


def test_a_history_that_is_read_in_without_a_champion_is_not_late() -> None:
    world = PlannedWorld(NOW + clock.MINUTE, waiting=Waiting(NOW - 300 * clock.DAY, 7))
    assert world.run(WORKER, PLATFORM, NOW + clock.HOUR) == []


def test_what_is_known_of_now_alone_stays_as_it_was_last_seen() -> None:
    world = PlannedWorld(NOW + clock.MINUTE, hours=scored(24), oldest=NOW - 30 * clock.HOUR)
    seen = world.run(QUEUE, "spam", NOW + clock.HOUR)
    assert named(seen, OLDEST).value == pytest.approx(30 + 1 / 60)
    lag = world.run(WORKER, PLATFORM, NOW + clock.HOUR)
    assert world.run(QUEUE, "spam", NOW) == []
    world.now = NOW + 70 * clock.MINUTE
    assert world.run(QUEUE, "spam", NOW + clock.HOUR) == seen
    assert world.run(WORKER, PLATFORM, NOW + clock.HOUR) == lag
    assert named(PlannedWorld(NOW).run(QUEUE, "spam", NOW + clock.HOUR), OLDEST).value == 0
