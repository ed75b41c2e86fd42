from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log
from leads.events import Body, DecisionMade, Event, ItemCreated, Played, SignalReceived, Subject, SubjectRef
from leads.policies import load_policies
from leads.settings import POLICIES_FILE
from training.data import reference
from training.data.reference import Touch, spread, touches

START = 1_750_000_000_000_000
POLICIES = load_policies(POLICIES_FILE)


def log(engine: Engine, *bodies: Body) -> None:
    for i, body in enumerate(bodies):
        with engine.begin() as connection:
            event_log.append(connection, "test", [Event(f"e{i}", START + i, body)], clock_=lambda at=START + i: at)


def test_a_subject_is_sampled_at_its_latest_touch_and_a_decision_is_none(engine: Engine) -> None:
    one, other, track = SubjectRef("comment", "c1"), SubjectRef("comment", "c2"), SubjectRef("track", "t1")
    log(
        engine,
        ItemCreated(one, "a1", parent=track),
        ItemCreated(other, "a1"),
        SignalReceived(one, "user_report", "app"),
        DecisionMade(other, "spam", "violating", "human", "r1"),
        Played(track, "a9", 31.0),
    )
    found = touches(engine, POLICIES.harms["spam"])
    assert found == [Touch(Subject("comment", "c1"), START + 2), Touch(Subject("comment", "c2"), START + 1)]
    assert touches(engine, POLICIES.harms["stream_manipulation"]) == [Touch(Subject("account", "a9"), START + 4)]


def test_an_empty_log_touches_nobody(engine: Engine) -> None:
    assert touches(engine, POLICIES.harms["spam"]) == []


def test_a_subject_counts_once_an_hour(engine: Engine) -> None:
    track = SubjectRef("comment", "c1")
    for minute in (0, 30, 90):
        at = START // clock.HOUR * clock.HOUR + minute * clock.MINUTE
        with engine.begin() as connection:
            event = Event(f"e{minute}", at, SignalReceived(track, "user_report", "app"))
            event_log.append(connection, "test", [event], clock_=lambda at=at: at)
    hours = [touch.at % clock.DAY // clock.MINUTE % 60 for touch in touches(engine, POLICIES.harms["spam"])]
    assert sorted(hours) == [30, 30]


def test_a_sample_is_spread_over_the_whole_time() -> None:
    found = [Touch(Subject("comment", f"c{i}"), START + i) for i in range(1_000)]
    chosen = spread(found[::-1], 10, np.random.default_rng(0))
    assert [(touch.at - START) // 100 for touch in chosen] == list(range(10))


def test_only_the_last_28_days_are_read_and_of_a_long_log_whole_hours(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = 40 * 24
    for hour in range(0, hours, 2):
        at = START + hour * clock.HOUR
        body = ItemCreated(SubjectRef("comment", f"c{hour}"), "a1")
        with engine.begin() as connection:
            event_log.append(connection, "test", [Event(f"e{hour}", at, body)], clock_=lambda at=at: at)
    newest = START + (hours - 2) * clock.HOUR
    found = touches(engine, POLICIES.harms["spam"])
    assert min(touch.at for touch in found) == newest - 28 * clock.DAY
    monkeypatch.setattr(reference, "_EVENTS", 150)
    monkeypatch.setattr(reference, "_FEWEST", 1)
    fewer = touches(engine, POLICIES.harms["spam"])
    assert 130 <= len(fewer) <= 170
    assert max(touch.at for touch in fewer) > newest - 2 * clock.DAY
    assert min(touch.at for touch in fewer) < newest - 26 * clock.DAY
    # Every hour of the day in which there are events.
    assert len({touch.at // clock.HOUR % 24 for touch in fewer}) == 12


def busy_and_quiet(engine: Engine, days: int) -> None:
    """A comment that is reported twenty times an hour, and twenty comments that are reported once each."""
    numbers = iter(range(1_000_000))
    for hour in range(days * 24):
        begins = (START // clock.HOUR + hour) * clock.HOUR
        for i in range(20):
            at = begins + (3 * i + 1) * clock.MINUTE
            events = [
                Event(f"e{next(numbers)}", at, SignalReceived(SubjectRef("comment", name), "user_report", "app"))
                for name in ("busy", f"quiet-{i}")
            ]
            with engine.begin() as connection:
                event_log.append(connection, "test", events, clock_=lambda at=at: at)


@pytest.mark.parametrize("events", [1_000_000, 600])
def test_a_busy_subject_is_as_frequent_as_in_monitoring_however_long_the_log_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    busy_and_quiet(engine, 4)
    monkeypatch.setattr(reference, "_EVENTS", events)
    monkeypatch.setattr(reference, "_FEWEST_HOURS", 1)
    found = touches(engine, POLICIES.harms["spam"])
    assert sum(touch.subject.id == "busy" for touch in found) / len(found) == pytest.approx(1 / 21, abs=0.002)


def test_of_an_hour_with_too_many_events_the_last_part_is_read(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    busy_and_quiet(engine, 4)
    monkeypatch.setattr(reference, "_EVENTS", 600)
    monkeypatch.setattr(reference, "_FEWEST_HOURS", 24)
    monkeypatch.setattr(reference, "_MOST_EVENTS", 240)
    found = touches(engine, POLICIES.harms["spam"])
    assert 150 <= len(found) <= 300
    assert {touch.at % clock.HOUR // clock.MINUTE for touch in found} <= {43, 46, 49, 52, 55, 58}
