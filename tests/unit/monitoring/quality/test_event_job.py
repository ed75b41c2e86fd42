"""The job `events`: stopped feeds, clocks that are off, and organised reports; and what is none of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.events import EventHour, Feed, Reports
from leads.events import Subject
from monitoring.quality.events import CLOCK, CONCENTRATION, EVENTS, LATE, MISSING, VOLUME
from monitoring.watch.jobs import PLATFORM
from tests.support.monitoring.planned_world import NOW, PlannedWorld, named

PARTNER = "source=partner"
DAYS = 5 * 24
Hours = npt.NDArray[np.float64]


def rolled(world: PlannedWorld, hours: int) -> None:
    """Measure so many hours up to now."""
    for until in range(NOW - hours * clock.HOUR, NOW + 1, clock.HOUR):
        world.run(EVENTS, PLATFORM, until)


def delayed(usual: float, now: Hours, *, since: Micros = NOW - clock.HOUR) -> Callable[[Micros], EventHour]:
    """Events of a partner that arrive `usual` hours late, and otherwise from an hour on."""

    def hour(at: Micros) -> EventHour:
        delays = now if at >= since else np.full(20, usual)
        return EventHour({("item_created", "partner"): len(delays)}, {"partner": np.sort(delays)})

    return hour


def test_a_clock_that_is_a_day_off_is_found_within_the_hour_and_stays_found() -> None:
    world = PlannedWorld(hour=delayed(0.01, np.full(12, 24.01), since=NOW - 6 * clock.HOUR))
    rolled(world, DAYS)
    shifts = {row.until: row for row in world.rows if row.name == CLOCK}
    assert all(row.lo is not None and row.lo > 6 for until, row in shifts.items() if until > NOW - 6 * clock.HOUR)
    assert all(row.lo is not None and row.lo < 1 for until, row in shifts.items() if until <= NOW - 6 * clock.HOUR)
    assert named(world.run(EVENTS, PLATFORM, NOW), CLOCK, PARTNER).value == pytest.approx(24)


def test_a_source_that_always_sends_late_has_no_clock_that_is_off() -> None:
    world = PlannedWorld(hour=delayed(24.0, np.full(12, 24.5)))
    rolled(world, DAYS)
    rows = world.run(EVENTS, PLATFORM, NOW)
    assert named(rows, CLOCK, PARTNER).value == pytest.approx(0.5)
    assert named(rows, LATE, PARTNER).value == 1.0


def test_catching_up_after_an_outage_is_no_wrong_clock() -> None:
    world = PlannedWorld(hour=delayed(0.01, np.linspace(0, 30, 40)))
    rolled(world, DAYS)
    assert named(world.run(EVENTS, PLATFORM, NOW), CLOCK, PARTNER).lo == 0


def test_a_few_events_say_nothing_about_a_clock() -> None:
    world = PlannedWorld(hour=delayed(0.01, np.full(3, 24.0)))
    rolled(world, DAYS)
    assert not [row for row in world.run(EVENTS, PLATFORM, NOW) if row.name == CLOCK]


def counted(found: Mapping[Feed, int]) -> EventHour:
    return EventHour(found)


def feeds(
    until_stop: Micros, *, plays_stop: bool = False, history: bool = True
) -> tuple[PlannedWorld, Callable[[Micros], EventHour]]:
    draw = np.random.default_rng(2)

    def hour(at: Micros) -> EventHour:
        off = at >= until_stop
        return counted(
            {
                ("played", "app"): 0 if off and plays_stop else int(draw.poisson(20_000)),
                ("item_created", "partner"): 0 if off else int(draw.poisson(900)),
                ("decision_made", "tool"): 0 if off else 500,
            }
        )

    counts = {at: hour(at).counts for at in range(NOW - 240 * clock.HOUR, NOW - clock.HOUR, clock.HOUR)}
    return PlannedWorld(hour=hour, counts=counts if history else {}), hour


def test_a_feed_that_stops_is_named_and_the_log_says_what_was_usual() -> None:
    world, _ = feeds(NOW - clock.HOUR)
    rows = world.run(EVENTS, PLATFORM, NOW)
    stopped = named(rows, MISSING, "kind=item_created;source=partner")
    assert stopped.lo is not None
    assert stopped.lo > 0.9
    assert named(rows, MISSING, "kind=played;source=app").lo < 0.5  # type: ignore[operator]
    # Reviewers don't work at night.
    assert not [row for row in rows if row.name == MISSING and "decision_made" in row.slice]
    # The next run reads its history from the rows.
    world.now += clock.HOUR
    again = world.run(EVENTS, PLATFORM, world.now)
    assert len([row for row in again if row.name == VOLUME and row.slice == ""]) == 1
    assert named(again, MISSING, "kind=item_created;source=partner").lo > 0.9  # type: ignore[operator]


def test_when_everything_stops_one_row_says_so() -> None:
    world, _ = feeds(NOW - clock.HOUR, plays_stop=True)
    rows = [row for row in world.run(EVENTS, PLATFORM, NOW) if row.name == MISSING]
    assert [row.slice for row in rows] == [""]


def test_the_hour_that_runs_counts_no_volume() -> None:
    world, _ = feeds(NOW + clock.DAY)
    assert world.run(EVENTS, PLATFORM, NOW + clock.HOUR) == []


def reports(at: Micros, brigade: int) -> EventHour:
    draw = np.random.default_rng(at % 1_000_003)
    usual = [(Subject("comment", f"c{i}"), 1 + int(n)) for i, n in enumerate(draw.poisson(0.7, 30))]
    if brigade:
        usual.append((Subject("comment", "victim"), brigade))
    usual.sort(key=lambda one: -one[1])
    return EventHour(reports={"spam": Reports(sum(n for _, n in usual), tuple(usual[:5]))})


@pytest.mark.parametrize(("brigade", "found"), [(300, True), (15, False), (0, False)])
def test_many_reports_of_few_subjects_are_organised(brigade: int, found: bool) -> None:
    world = PlannedWorld(hour=lambda at: reports(at, brigade if at >= NOW - clock.HOUR else 0))
    rolled(world, DAYS)
    row = named(world.run(EVENTS, PLATFORM, NOW), CONCENTRATION, "harm=spam")
    assert row.lo is not None
    assert (row.lo > 0.5) is found
    assert ("comment:victim (300)" in row.method) is found


def test_reports_that_are_always_concentrated_are_usual() -> None:
    world = PlannedWorld(hour=lambda at: reports(at, 300))
    rolled(world, DAYS)
    assert named(world.run(EVENTS, PLATFORM, NOW), CONCENTRATION, "harm=spam").lo == 0
