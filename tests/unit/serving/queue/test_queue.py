"""The queue on both databases: offers, claims, and the effects of decisions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.content import content_hash
from leads.db import event_log, subject_events
from leads.db.tables import leads
from leads.errors import Conflict, InvalidInput, NotFound
from leads.events import ContentRef, DecisionMade, Event, ItemCreated, Subject, SubjectRef, decision_of
from leads.policies import Policies, QueuePolicy, load_policies
from leads.rules import standing_decision
from leads.settings import POLICIES_FILE
from leads_client.fields import DecidedBy, Tier, Verdict
from serving.queue import leases
from serving.queue.cases import Ruling
from serving.queue.decisions import decide_lead, decide_subject
from serving.queue.leads_table import Actor, Lead, get_lead, lead_id, read_audit
from serving.queue.offers import Offer, Offered, offer
from serving.queue.queue import claim, list_leads
from serving.scoring.reasons.explanation import Reason
from tests.support.serving.queue_world import QueueWorld, informed

NOW = clock.from_text("2026-03-01T12:00:00Z")
QUEUE = QueuePolicy(lease_minutes=15, aging_hours=24, reopen_after_reports=3)


@pytest.fixture
def policies() -> Policies:
    return load_policies(POLICIES_FILE)


def ruling(verdict: Verdict, reviewer: str, by: DecidedBy = "human", **rest: Any) -> Ruling:
    return Ruling(verdict, Actor(reviewer, "key-1"), by, **rest)


# A subject that is in the event log by its leads only.
NOTHING_STORED = ContentRef(0, content_hash(None))


def at(instant: int) -> Callable[[], int]:
    return lambda: instant


def an_offer(
    id_: str = "c1", score: float = 0.8, *, harm: str = "spam", tier: Tier = "review", scored_at: int = NOW
) -> Offer:
    reasons = (Reason("TEXT_LINKS", "2 links in the text", 1.5),)
    return Offer(Subject("comment", id_), harm, score, tier, "3", f"p-{id_}", reasons, 3.0, 1.0, scored_at)


def put(engine: Engine, *offers: Offer, now: int = NOW) -> Offered:
    with engine.begin() as connection:
        return offer(connection, offers, now, QUEUE)


def lead_of(engine: Engine, one: Offer, now: int = NOW) -> Lead:
    with engine.begin() as connection:
        return get_lead(connection, lead_id(one.subject, one.harm), queue=QUEUE, now=now)


def take(
    engine: Engine, n: int = 1, reviewer: str = "ann", now: int = NOW, harms: set[str] | None = None
) -> list[Lead]:
    with engine.begin() as connection:
        found = claim(connection, n=n, actor=Actor(reviewer, "key-1"), queue=QUEUE, now=now, harms=harms)
        return [claimed.lead for claimed in found]


def page(engine: Engine, **how: object) -> list[str]:
    with engine.begin() as connection:
        arguments = {"queue": QUEUE, "now": NOW, **how}
        return [lead.subject.id for lead in list_leads(connection, **arguments).leads]  # type: ignore[arg-type]


def test_offer_opens_one_lead_per_subject_and_harm(any_engine: Engine) -> None:
    assert put(any_engine, an_offer(), an_offer(harm="sexism"), an_offer("c2", tier="none")) == (2, 0, 0, 1)
    assert put(any_engine, an_offer(score=0.9)) == (0, 1, 0, 0)
    lead = lead_of(any_engine, an_offer())
    assert (lead.score, lead.state, lead.reasons[0].code) == (0.9, "open", "TEXT_LINKS")
    with any_engine.begin() as connection:
        assert [entry.action for entry in read_audit(connection, lead.id)] == ["offered"]


def test_the_same_offers_give_the_same_leads(any_engine: Engine) -> None:
    put(any_engine, an_offer(), an_offer("c2"))
    before = [lead_of(any_engine, an_offer(x)) for x in ("c1", "c2")]
    put(any_engine, an_offer("c2"), an_offer(), now=NOW + clock.HOUR)
    assert [lead_of(any_engine, an_offer(x)) for x in ("c1", "c2")] == before


def test_the_newer_of_two_offers_applies(any_engine: Engine) -> None:
    put(any_engine, an_offer(score=0.5, scored_at=NOW + 1), an_offer(score=0.9))
    assert lead_of(any_engine, an_offer()).score == 0.5
    assert put(any_engine, an_offer(score=0.7)).unchanged == 1


def test_a_low_score_withdraws_an_open_lead_and_a_high_score_reopens_it(any_engine: Engine) -> None:
    put(any_engine, an_offer())
    assert put(any_engine, an_offer(score=0.1, tier="none", scored_at=NOW + 1)).withdrawn == 1
    assert lead_of(any_engine, an_offer()).state == "withdrawn"
    assert page(any_engine) == []
    put(any_engine, an_offer(scored_at=NOW + 2), now=NOW + clock.HOUR)
    lead = lead_of(any_engine, an_offer(), now=NOW + clock.HOUR)
    assert (lead.state, lead.created_at) == ("open", NOW + clock.HOUR)


def test_a_low_score_leaves_a_claimed_lead_with_its_reviewer(any_engine: Engine) -> None:
    put(any_engine, an_offer())
    take(any_engine)
    put(any_engine, an_offer(score=0.1, tier="none", scored_at=NOW + 1))
    lead = lead_of(any_engine, an_offer())
    assert (lead.state, lead.claimed_by, lead.score) == ("claimed", "ann", 0.1)


def test_a_decided_lead_is_not_touched_by_a_new_score(any_engine: Engine, policies: Policies) -> None:
    put(any_engine, an_offer())
    with any_engine.begin() as connection:
        decide_lead(
            connection,
            lead_id(an_offer().subject, "spam"),
            ruling("violating", "ann", content=NOTHING_STORED),
            policies=policies,
        )
    before = lead_of(any_engine, an_offer())
    assert put(any_engine, an_offer(score=0.99, scored_at=NOW + 1)).unchanged == 1
    assert lead_of(any_engine, an_offer()) == before


def test_a_subject_decided_before_it_was_a_lead_is_not_offered(any_engine: Engine, policies: Policies) -> None:
    known(any_engine, "c1")
    with any_engine.begin() as connection:
        decide_subject(
            connection,
            Subject("comment", "c1"),
            "spam",
            ruling("violating", "ann"),
            policies=policies,
        )
    assert put(any_engine, an_offer(), an_offer(harm="sexism")) == (1, 0, 0, 1)


def test_listing_ranks_by_priority_and_waiting(any_engine: Engine) -> None:
    put(any_engine, an_offer("old", 0.5), now=NOW - 3 * clock.DAY)
    put(any_engine, an_offer("new", 0.9), an_offer("newer", 0.8))
    assert page(any_engine) == ["old", "new", "newer"]
    with any_engine.begin() as connection:
        first = list_leads(connection, queue=QUEUE, now=NOW).leads[0]
    assert first.priority == pytest.approx(0.5 * 3 * 2**3)


def test_listing_filters(any_engine: Engine) -> None:
    put(any_engine, an_offer("a"), an_offer("b", 0.7, harm="sexism"), an_offer("c", 0.6))
    take(any_engine, harms={"sexism"})
    assert page(any_engine) == ["a", "c"]
    assert page(any_engine, state=None) == ["a", "b", "c"]
    assert page(any_engine, state="claimed") == ["b"]
    assert page(any_engine, harms={"sexism"}, state=None) == ["b"]
    assert page(any_engine, type_id="account") == []


def test_pages_neither_repeat_nor_skip_while_time_passes_and_leads_come(any_engine: Engine) -> None:
    put(any_engine, *(an_offer(f"c{i:02}", 0.5 + (i % 3) / 10) for i in range(25)))
    whole, found, cursor, now = page(any_engine, limit=100), [], None, NOW
    while True:
        with any_engine.begin() as connection:
            part = list_leads(connection, queue=QUEUE, now=now, limit=7, cursor=cursor)
        found += [lead.subject.id for lead in part.leads]
        cursor, now = part.next_cursor, now + clock.HOUR
        put(any_engine, an_offer(f"top-{now}", 0.99), now=now)
        if cursor is None:
            break
    assert [id_ for id_ in found if not id_.startswith("top")] == whole


@pytest.mark.parametrize("cursor", ["", "x", "!!", "e30", "WzEsMiwzXQ", "ü"])
def test_an_invalid_cursor_is_refused(any_engine: Engine, cursor: str) -> None:
    if not cursor:
        assert page(any_engine, cursor=cursor) == []
        return
    with pytest.raises(InvalidInput, match="cursor"):
        page(any_engine, cursor=cursor)


def test_a_claim_takes_the_top_leads_and_hides_them_from_others(any_engine: Engine) -> None:
    put(any_engine, an_offer("a", 0.6), an_offer("b", 0.9), an_offer("c", 0.7))
    assert [x.subject.id for x in take(any_engine, 2)] == ["b", "c"]
    assert [x.subject.id for x in take(any_engine, 2, "bob")] == ["a"]
    assert take(any_engine, 2, "bob") == []


def test_an_expired_lease_reopens_the_lead(any_engine: Engine) -> None:
    put(any_engine, an_offer())
    lead = take(any_engine)[0]
    assert lead.lease_until == NOW + 15 * clock.MINUTE
    assert take(any_engine, reviewer="bob", now=lead.lease_until - 1) == []
    assert page(any_engine, now=lead.lease_until) == ["c1"]
    assert [x.claimed_by for x in take(any_engine, reviewer="bob", now=lead.lease_until)] == ["bob"]
    with any_engine.begin() as connection:
        trail = [(x.action, x.actor.name) for x in read_audit(connection, lead.id)]
    assert trail == [("offered", "scoring"), ("claimed", "ann"), ("lease_expired", "leases"), ("claimed", "bob")]


def test_only_the_reviewer_who_claimed_a_lead_can_release_it(any_engine: Engine) -> None:
    put(any_engine, an_offer())
    lead = take(any_engine)[0]
    with any_engine.begin() as connection, pytest.raises(Conflict, match="has not claimed"):
        leases.release(connection, lead.id, actor=Actor("bob"), queue=QUEUE, now=NOW)
    with any_engine.begin() as connection:
        assert leases.release(connection, lead.id, actor=Actor("ann"), queue=QUEUE, now=NOW).state == "open"
    with any_engine.begin() as connection, pytest.raises(NotFound):
        leases.release(connection, "l_none", actor=Actor("ann"), queue=QUEUE, now=NOW)
    with any_engine.begin() as connection:
        assert [x.action for x in read_audit(connection, lead.id)] == ["offered", "claimed", "released"]


def test_concurrent_claims_never_share_a_lead(any_engine: Engine) -> None:
    put(any_engine, *(an_offer(f"c{i}") for i in range(60)))
    taken: dict[str, list[str]] = {f"r{i}": [] for i in range(4)}
    start = threading.Barrier(len(taken))

    def work(reviewer: str) -> None:
        start.wait()
        while mine := take(any_engine, 3, reviewer):
            taken[reviewer] += [lead.id for lead in mine]

    threads = [threading.Thread(target=work, args=[reviewer]) for reviewer in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [id_ for mine in taken.values() for id_ in mine]
    assert len(ids) == len(set(ids)) == 60


def known(engine: Engine, *ids: str) -> None:
    with engine.begin() as connection:
        body = [ItemCreated(SubjectRef("comment", id_), account_id="a1", text="hello") for id_ in ids]
        event_log.append(connection, "test", [Event(f"e-{x.subject.id}", NOW, x) for x in body], clock_=at(NOW))


def decide(engine: Engine, ruling_: Ruling, policies: Policies, now: int = NOW, subject: str = "c1") -> bool:
    with engine.begin() as connection:
        shown = informed(connection, lead_id(Subject("comment", subject), "spam"), ruling_)
        decided = decide_subject(
            connection, Subject("comment", subject), "spam", shown, policies=policies, clock_=at(now)
        )
    return decided.repeated


def test_a_decision_changes_lead_event_and_audit_together(any_engine: Engine, policies: Policies) -> None:
    put(any_engine, an_offer())
    lead = take(any_engine)[0]
    with any_engine.begin() as connection:
        decided = decide_lead(
            connection, lead.id, ruling("violating", "ann", reason="a scam"), policies=policies, clock_=at(NOW)
        )
    assert decided.lead is not None
    assert (decided.lead.state, decided.lead.verdict, decided.lead.claimed_by) == ("decided", "violating", None)
    assert lead_of(any_engine, an_offer()) == decided.lead
    with any_engine.begin() as connection:
        (logged,) = subject_events.decisions(connection, [lead.subject])[lead.subject]
        last = read_audit(connection, lead.id)[-1]
    assert logged.event.body == DecisionMade(
        SubjectRef("comment", "c1"),
        "spam",
        "violating",
        "human",
        "ann",
        lead_id=lead.id,
        reason="a scam",
        review_id=decided.review_id,
        content=ContentRef(0, content_hash(None)),
        prediction_id="p-c1",
    )
    assert (last.action, last.actor, last.detail["offset"]) == ("decided", Actor("ann", "key-1"), logged.offset)


def test_a_failed_decision_leaves_nothing(any_engine: Engine, policies: Policies) -> None:
    put(any_engine, an_offer())
    connection = any_engine.connect()
    transaction = connection.begin()
    decide_lead(
        connection,
        lead_id(an_offer().subject, "spam"),
        ruling("violating", "ann", content=NOTHING_STORED),
        policies=policies,
    )
    transaction.rollback()
    connection.close()
    assert lead_of(any_engine, an_offer()).state == "open"
    with any_engine.begin() as connection:
        assert subject_events.decisions(connection, [an_offer().subject]) == {}
        assert [x.action for x in read_audit(connection, lead_id(an_offer().subject, "spam"))] == ["offered"]


def test_a_lead_claimed_by_another_reviewer_cannot_be_decided(any_engine: Engine, policies: Policies) -> None:
    put(any_engine, an_offer())
    lead = take(any_engine)[0]
    with any_engine.begin() as connection, pytest.raises(Conflict, match="Another reviewer"):
        decide_lead(connection, lead.id, ruling("violating", "bob"), policies=policies, clock_=at(NOW))
    with any_engine.begin() as connection:
        with pytest.raises(InvalidInput, match="which content the verdict is about"):
            decide_lead(connection, lead.id, ruling("violating", "bob"), policies=policies, clock_=at(NOW + clock.HOUR))
        seen = ruling("violating", "bob", content=NOTHING_STORED)
        decide_lead(connection, lead.id, seen, policies=policies, clock_=at(NOW + clock.HOUR))


def test_the_same_verdict_by_the_same_reviewer_is_one_decision(any_engine: Engine, policies: Policies) -> None:
    known(any_engine, "c1")
    assert not decide(any_engine, ruling("violating", "ann"), policies)
    assert decide(any_engine, ruling("violating", "ann"), policies)
    for other in (ruling("not_violating", "ann"), ruling("violating", "bob"), ruling("violating", "bot", "automation")):
        with pytest.raises(Conflict):
            decide(any_engine, other, policies)
    with any_engine.begin() as connection:
        assert len(subject_events.decisions(connection, [Subject("comment", "c1")])[Subject("comment", "c1")]) == 1


def test_a_human_outranks_automation_and_an_appeal_overturns(any_engine: Engine, policies: Policies) -> None:
    put(any_engine, an_offer())
    subject = an_offer().subject
    decide(any_engine, ruling("violating", "bot", "automation"), policies)
    decide(any_engine, ruling("not_violating", "ann"), policies)
    with pytest.raises(Conflict):
        decide(any_engine, ruling("violating", "bot", "automation", appeal=True), policies)
    decide(any_engine, ruling("violating", "eve", appeal=True), policies)
    with any_engine.begin() as connection:
        logged = subject_events.decisions(connection, [subject])[subject]
        actions = [x.action for x in read_audit(connection, lead_id(subject, "spam"))]
    assert [decision_of(x).verdict for x in logged] == ["violating", "not_violating", "violating"]
    stands = standing_decision(logged)
    assert stands is not None
    assert decision_of(stands).reviewer == "eve"
    assert actions == ["offered", "decided", "decided", "overturned"]
    assert lead_of(any_engine, an_offer()).verdict == "violating"


def test_an_escalated_lead_leaves_the_queue_until_someone_decides(any_engine: Engine, policies: Policies) -> None:
    put(any_engine, an_offer())
    decide(any_engine, ruling("escalate", "ann"), policies)
    assert page(any_engine, state="escalated") == ["c1"]
    assert take(any_engine, reviewer="bob") == []
    decide(any_engine, ruling("not_violating", "bob"), policies)
    assert lead_of(any_engine, an_offer()).state == "decided"


def test_errors_say_why_something_cannot_be_decided(any_engine: Engine, policies: Policies) -> None:
    with any_engine.begin() as connection, pytest.raises(NotFound, match="unknown"):
        decide_subject(connection, Subject("comment", "c9"), "spam", ruling("violating", "ann"), policies=policies)
    with any_engine.begin() as connection, pytest.raises(NotFound, match="'nope' not found"):
        decide_subject(connection, Subject("comment", "c9"), "nope", ruling("violating", "ann"), policies=policies)
    with any_engine.begin() as connection, pytest.raises(InvalidInput, match="doesn't apply"):
        decide_subject(connection, Subject("track", "t1"), "spam", ruling("violating", "ann"), policies=policies)
    with any_engine.begin() as connection, pytest.raises(NotFound, match="Lead not found"):
        decide_lead(connection, "l_none", ruling("violating", "ann"), policies=policies)


def test_concurrent_decisions_leave_one_decision(any_engine: Engine, policies: Policies) -> None:
    known(any_engine, "c1")
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def work(reviewer: str) -> None:
        start.wait()
        try:
            decide(any_engine, ruling("violating", reviewer), policies)
            outcomes.append("decided")
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=work, args=[f"r{i}"]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["decided", "refused", "refused", "refused"]


def test_unique_by_subject_and_harm(any_engine: Engine) -> None:
    put(any_engine, an_offer())
    with any_engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(leads)).scalar() == 1


def test_ids_do_not_depend_on_the_machine(tmp_path: Path) -> None:
    assert lead_id(Subject("comment", "c1"), "spam") == "l_a1809010968ac429d33358a5"


def test_a_claim_leaves_out_what_it_excludes(any_engine: Engine) -> None:
    world = QueueWorld(any_engine)
    for i in range(4):
        world.offer(f"c{i}", 0.9 - i / 10)
    ids = [lead_id(Subject("comment", f"c{i}"), "spam") for i in range(4)]
    assert [lead.id for lead in world.claim(2, exclude=[ids[0], ids[2]])] == [ids[1], ids[3]]
    assert world.claim(2, exclude=[ids[0], ids[2]]) == []
    assert [lead.id for lead in world.claim(2)] == [ids[0], ids[2]]


def test_a_released_lead_comes_back_to_the_same_reviewer_last(any_engine: Engine) -> None:
    world = QueueWorld(any_engine)
    for i in range(3):
        world.offer(f"c{i}", 0.9 - i / 10)
    first, second, third = (lead_id(Subject("comment", f"c{i}"), "spam") for i in range(3))

    def release_next(reviewer: str = "ann") -> str:
        (lead,) = world.claim(1, reviewer)
        world.release(lead.id, reviewer)
        return lead.id

    assert [release_next() for _ in range(3)] == [first, second, third]
    assert release_next("bob") == first
    assert [lead.id for lead in world.claim(2, "cid")] == [first, second]
    # Nothing else is open, so what was released comes again; not what the claim excludes.
    assert world.claim(1, exclude=[third]) == []
    assert [lead.id for lead in world.claim(2)] == [third]
    for id_, reviewer in ((first, "cid"), (second, "cid"), (third, "ann")):
        world.release(id_, reviewer)
    world.wait(10 * clock.MINUTE)
    assert [lead.id for lead in world.claim(1)] == [first]
