from __future__ import annotations

from sqlalchemy.engine import Engine

from leads.db import event_log
from leads.events import Body, DecisionMade, Event, ItemCreated, Played, SignalReceived, Subject, SubjectRef
from leads.policies import load_policies
from leads.settings import POLICIES_FILE
from training.data.reference import Touch, touches

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
