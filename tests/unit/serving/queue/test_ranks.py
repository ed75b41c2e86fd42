"""Ranks order leads by their weights at any time, also while the policy changes and beside an older release."""

from __future__ import annotations

import math

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from leads import clock
from leads.db.tables import leads
from leads.policies import QueuePolicy
from serving.queue import ranks
from serving.queue.ranks import LEAST_WEIGHT, Basis, priority_of, rank_of
from serving.queue.upkeep import Upkeep
from tests.support.serving.queue_world import START, QueueWorld, lead_of

weights = st.floats(1e-6, 1e4)
instants = st.integers(START - 60 * clock.DAY, START + 60 * clock.DAY)


@given(weights, instants, weights, instants, instants, st.floats(0.5, 1_000))
def test_the_order_of_ranks_is_the_order_of_weights_at_any_time(
    weight: float, created: int, other: float, other_created: int, now: int, aging_hours: float
) -> None:
    basis = Basis(aging_hours)
    apart = rank_of(weight, created, basis) - rank_of(other, other_created, basis)
    one, two = (priority_of(w, at, aging_hours, now) for w, at in ((weight, created), (other, other_created)))
    if abs(apart) > 1e-6 and 0 < max(one, two) < 1e300:
        assert (one > two) == (apart > 0)


@given(weights, instants, instants, st.floats(1, 1_000))
def test_the_priority_is_the_power_of_the_rank_and_doubles(
    weight: float, created: int, now: int, aging_hours: float
) -> None:
    priority, basis = priority_of(weight, created, aging_hours, now), Basis(aging_hours)
    if 1e-300 < priority < 1e300:
        power = rank_of(weight, created, basis) + now / ranks.tau(aging_hours)
        assert math.log(priority) == pytest.approx(power, abs=1e-6)
        later = priority_of(weight, created, aging_hours, now + round(aging_hours * clock.HOUR))
        assert later == pytest.approx(2 * priority, rel=1e-6)


def test_extreme_weights_and_times_stay_finite() -> None:
    assert rank_of(0.0, START, Basis(24)) == rank_of(LEAST_WEIGHT, START, Basis(24))
    assert priority_of(0.0, START, 24, START) == 0
    assert math.isfinite(priority_of(5.0, 0, 0.001, START))
    assert math.isfinite(priority_of(LEAST_WEIGHT, START - 1_020 * clock.HOUR, 1, START))


@pytest.mark.parametrize("aging_hours", [1, 24])
def test_priorities_of_leads_that_wait_for_years_keep_the_order_of_the_ranks(aging_hours: int) -> None:
    spans = [clock.HOUR, clock.DAY, *(days * clock.DAY for days in range(40, 4_000, 3))]
    created = [START - span - more for span in spans for more in (0, 1_000)]
    found = [priority_of(0.7, at, aging_hours, START) for at in created]
    assert found == sorted(set(found))
    assert math.isfinite(found[-1])
    assert found[0] == pytest.approx(0.7 * 2 ** (1 / aging_hours))


@given(weights, st.floats(0.5, 1_000), st.floats(0.5, 1_000), instants)
def test_bases_agree_about_leads_of_the_moment_of_the_change(
    weight: float, before: float, after: float, now: int
) -> None:
    old = Basis(before, 3.0)
    new = Basis(after, old.shift + now / ranks.tau(after) - now / ranks.tau(before))
    assert rank_of(weight, now, old) == pytest.approx(rank_of(weight, now, new), abs=1e-5)


def finish(engine: Engine, aging_hours: float, now: int) -> None:
    Upkeep(engine, QueuePolicy(aging_hours=aging_hours), clock_=lambda: now).finish()


def stored(engine: Engine) -> dict[str, tuple[float, float]]:
    """Each lead's rank, and the rank that it should have."""
    with engine.connect() as connection:
        basis = ranks.current(connection)
        return {
            row.id: (row.rank, rank_of(row.base_priority, row.created_at, basis))
            for row in connection.execute(sa.select(leads))
        }


def test_a_change_of_aging_hours_ranks_every_lead_again(any_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_BATCH", 3)
    world = QueueWorld(any_engine)
    world.now -= 2 * clock.DAY
    world.offer("old", 0.4)
    world.now = START
    for i in range(8):
        world.offer(f"c{i}", 0.9)
    # After two days, a weight of 0.4 has become 1.6. On the new basis, it is still about 0.4.
    assert world.ids()[0] == "old"
    with any_engine.begin() as connection:
        assert ranks.adopt(connection, 2_400.0, START)
        assert not ranks.adopt(connection, 2_400.0, START)
    # Killed after one batch. The queue is usable, and new leads use the new basis.
    with any_engine.begin() as connection:
        ranks.rank_again(connection)
    world.offer("new", 0.95)
    assert len(world.ids()) == 10
    finish(any_engine, 2_400.0, START)
    assert all(rank == pytest.approx(wanted) for rank, wanted in stored(any_engine).values())
    assert (world.ids()[0], world.ids()[-1]) == ("new", "old")


def test_leads_of_an_older_release_are_ranked_by_the_worker(any_engine: Engine) -> None:
    world = QueueWorld(any_engine)
    for id_ in ("kept", "opened", "scored"):
        world.offer(id_, 0.5)
    with any_engine.begin() as connection:
        # An older release leaves the new columns out.
        its = sa.update(leads).where(leads.c.id == lead_of("opened"))
        connection.execute(its.values(rank=None, ranked_for=None))
        scored = sa.update(leads).where(leads.c.id == lead_of("scored"))
        connection.execute(scored.values(base_priority=100.0, scored_at=START + 1))
        assert ranks.any_stale(connection)
    assert set(world.ids()) == {"kept", "scored"}
    finish(any_engine, 24.0, START)
    assert world.ids()[0] == "scored"
    assert len(world.ids()) == 3
    assert all(rank == pytest.approx(wanted) for rank, wanted in stored(any_engine).values())
    with any_engine.connect() as connection:
        assert not ranks.any_stale(connection)
