"""What jobs read of the database through the world, on both databases."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy.engine import Engine

from leads import clock
from leads.db import cursors
from leads.events import Subject
from leads.settings import Settings
from monitoring.watch.world import Waiting, World
from tests.support.monitoring.planned_world import PlannedWorld
from tests.support.serving.queue_world import START, QueueWorld


def world(settings: Settings, engine: Engine) -> World:
    planned = PlannedWorld()
    nothing = cast(Any, None)
    return World(settings, planned.policies, planned.platform, engine, nothing, START + clock.DAY, "h")


def test_the_oldest_open_lead_of_a_harm(any_settings: Settings, any_engine: Engine) -> None:
    queue, found = QueueWorld(any_engine), world(any_settings, any_engine)
    assert found.oldest_lead("spam") is None
    for id_ in ("c1", "c2", "c3"):
        queue.offer(id_)
        queue.wait(clock.HOUR)
    (first,) = queue.claim(1)
    assert found.oldest_lead("spam") == START + (clock.HOUR if first.subject.id == "c1" else 0)
    assert found.oldest_lead("sexism") is None


def test_events_wait_until_a_worker_has_scored_them(any_settings: Settings, any_engine: Engine) -> None:
    queue, found = QueueWorld(any_engine), world(any_settings, any_engine)
    assert found.waiting_events() is None
    for i in range(3):
        queue.write(f"c{i}", "text")
        queue.wait(clock.HOUR)
    assert found.waiting_events() == Waiting(START, 3)
    with any_engine.begin() as connection:
        cursors.move(connection, cursors.scored_name(0, 1), 2)
    assert found.waiting_events() == Waiting(START + 2 * clock.HOUR, 1)
    with any_engine.begin() as connection:
        cursors.move(connection, cursors.scored_name(0, 1), 3)
    assert found.waiting_events() is None


def test_what_was_decided_is_read_once(any_settings: Settings, any_engine: Engine) -> None:
    queue, found = QueueWorld(any_engine), world(any_settings, any_engine)
    queue.write("c1", "text")
    queue.wait()
    queue.offer("c1")
    queue.wait()
    (lead,) = queue.claim(1)
    queue.decide(lead.id)
    until = queue.now + clock.HOUR
    first = found.decided("spam", START, until)
    assert len(first.verdicts) == 1
    assert found.decided("spam", START, until) is first
    assert found.decided("sexism", START, until).verdicts == ()


def test_what_subjects_hold_is_described(any_settings: Settings, any_engine: Engine) -> None:
    queue, found = QueueWorld(any_engine), world(any_settings, any_engine)
    queue.write("c1", "Das Lied ist wirklich schön, ich höre es jeden Tag.")
    asked = [Subject("comment", "c9"), Subject("comment", "c1")]
    assert found.categories(asked)["language"] == [None, "de"]
    assert found.categories([]) == {}


def test_a_host_without_predictions_has_no_skew_to_check(any_settings: Settings, any_engine: Engine) -> None:
    assert world(any_settings, any_engine).skew("spam", START, START + clock.DAY) is None
