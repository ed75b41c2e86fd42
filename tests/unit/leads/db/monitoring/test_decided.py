"""Decisions with the predictions that they were about, on both databases."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log
from leads.db.engine import reading
from leads.db.monitoring import decided
from leads.db.monitoring.decided import Decided
from leads.db.tables import reviews
from leads.events import DecisionMade, Event, Subject, SubjectRef
from serving.queue.cases import Ruling
from serving.queue.decisions import decide_subject
from serving.queue.leads_table import Actor
from tests.support.serving.queue_world import POLICIES, QueueWorld, informed, lead_of


def read(world: QueueWorld, harm: str = "spam") -> Decided:
    with reading(world.engine) as connection:
        return decided.read(connection, 0, world.now + clock.HOUR).get(harm, Decided())


def prepared(engine: Engine) -> QueueWorld:
    world = QueueWorld(engine)
    for i in range(3):
        world.write(f"c{i}", f"text {i}")
        world.wait()
        world.offer(f"c{i}", 0.5 + i / 10)
        world.wait()
    return world


def test_a_verdict_has_the_score_that_was_shown(any_engine: Engine) -> None:
    world = prepared(any_engine)
    (lead,) = world.claim(1)
    world.wait()
    # Scored again while a reviewer looks at it.
    world.offer(lead.subject.id, 0.99, tier="auto")
    world.decide(lead.id, "not_violating")
    (found,) = read(world).verdicts
    assert (found.subject, found.violating) == (lead.subject, False)
    assert (found.score, found.tier, found.version) == (lead.score, "review", "1")
    assert found.account == "account:a1"
    assert found.stated


def test_a_review_by_an_older_release_takes_the_score_of_its_lead(any_engine: Engine) -> None:
    world = prepared(any_engine)
    world.decide(lead_of("c1"))
    with any_engine.begin() as connection:
        connection.execute(sa.update(reviews).values(score=None, tier=None, model_version=None))
    (found,) = read(world).verdicts
    assert (found.score, found.violating) == (0.6, True)


def test_a_decision_made_elsewhere_is_about_the_score_that_the_lead_had(any_engine: Engine) -> None:
    world = prepared(any_engine)
    body = DecisionMade(SubjectRef("comment", "c2"), "spam", "violating", "human", "partner")
    with any_engine.begin() as connection:
        event_log.append(connection, "import", [Event("d1", world.now, body)], clock_=lambda: world.now)
    world.settle("c2")
    (found,) = read(world).verdicts
    assert (found.subject, found.score, found.stated) == (Subject("comment", "c2"), 0.7, False)


def test_escalations_and_subjects_without_a_prediction_have_no_verdict(any_engine: Engine) -> None:
    world = prepared(any_engine)
    world.decide(lead_of("c0"), "escalate")
    world.write("c9", "never scored")
    world.wait()
    with any_engine.begin() as connection:
        ruling = Ruling("violating", Actor("ann"))
        decide_subject(
            connection, Subject("comment", "c9"), "spam", ruling, policies=POLICIES, clock_=lambda: world.now
        )
    assert read(world).verdicts == ()
    assert read(world, "sexism") == Decided()


def test_an_appeal_replaces_the_verdict_and_is_a_pair(any_engine: Engine) -> None:
    world = prepared(any_engine)
    world.decide(lead_of("c0"), "violating")
    world.wait()
    with any_engine.begin() as connection:
        ruling = informed(connection, lead_of("c0"), Ruling("not_violating", Actor("bob"), appeal=True))
        decide_subject(
            connection, Subject("comment", "c0"), "spam", ruling, policies=POLICIES, clock_=lambda: world.now
        )
    found = read(world)
    assert [one.violating for one in found.verdicts] == [False]
    assert [(one.purpose, one.same) for one in found.pairs] == [("appeal", False)]
