"""Depths and throughput by harm and by reviewer."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db.tables import reviews
from serving.queue.stats import Ended, QueueStats, depths, stats
from tests.support.serving.queue_world import START, QueueWorld, lead_of

HARMS = {"spam", "sexism"}


@pytest.fixture
def world(any_engine: Engine) -> QueueWorld:
    """Two days ago one verdict, two hours ago one release, and a verdict, an escalation and an expired lease now."""
    world = QueueWorld(any_engine)
    world.now = START - 2 * clock.DAY
    for i in range(6):
        world.offer(f"c{i}", 0.9 - i / 10)
    world.offer("s0", harm="sexism")
    world.decide(lead_of("c5"), reviewer="ann")
    world.now = START - 2 * clock.HOUR
    (lead,) = world.claim(1, "bob", {"spam"})
    world.release(lead.id, "bob")
    world.now = START - 30 * clock.MINUTE
    world.claim(1, "eve", {"sexism"})
    world.decide(lead_of("c0"), reviewer="ann")
    world.decide(lead_of("c1"), "escalate", reviewer="ann")
    world.now = START - clock.MINUTE
    world.expire()
    world.claim(2, "bob", {"spam"})
    world.now = START
    return world


def look(world: QueueWorld, harms: set[str]) -> QueueStats:
    with world.engine.connect() as connection:
        return stats(connection, harms, world.now)


def test_what_is_there_and_what_was_done(world: QueueWorld) -> None:
    found = look(world, HARMS)
    spam, sexism = found.harms["spam"], found.harms["sexism"]
    assert spam.leads == {"open": 1, "claimed": 2, "decided": 2, "escalated": 1, "withdrawn": 0}
    assert sexism.leads == {"open": 1, "claimed": 0, "decided": 0, "escalated": 0, "withdrawn": 0}
    assert spam.oldest == sexism.oldest == START - 2 * clock.DAY
    assert (spam.last_hour, spam.last_day) == (Ended(1, 1), Ended(1, 1, 1))
    assert (sexism.last_hour, sexism.last_day) == (Ended(expired=1), Ended(expired=1))
    assert list(found.reviewers) == ["ann", "bob", "eve"]
    assert (found.reviewers["ann"].held, found.reviewers["ann"].last_day) == (0, Ended(1, 1))
    assert (found.reviewers["bob"].held, found.reviewers["bob"].last_hour) == (2, Ended())
    assert found.reviewers["bob"].last_day == Ended(released=1)


def test_a_harm_alone_shows_nothing_of_the_others(world: QueueWorld) -> None:
    found = look(world, {"sexism"})
    assert list(found.harms) == ["sexism"]
    assert list(found.reviewers) == ["eve"]
    assert look(world, set()) == QueueStats({}, {})


def test_reviews_of_an_older_release_count_for_their_harm(world: QueueWorld) -> None:
    before = look(world, {"spam"})
    with world.engine.begin() as connection:
        connection.execute(sa.update(reviews).values(harm=None))
    assert look(world, {"spam"}) == before


def test_an_empty_harm_has_no_oldest_lead(world: QueueWorld) -> None:
    with world.engine.connect() as connection:
        found = depths(connection, {"harassment"})
    assert found["harassment"].oldest is None
    assert set(found["harassment"].leads.values()) == {0}
