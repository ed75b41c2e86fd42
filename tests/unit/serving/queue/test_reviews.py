"""What a verdict is about: the content that was shown, edits in between, and what makes a decided pair reviewable."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.content import content_hash, to_token
from leads.db import event_log, subject_events
from leads.db.items import current_contents
from leads.errors import AlreadyDecided, Conflict, InvalidInput, LeadClaimed, LeaseExpired, NotClaimed, NotFound
from leads.events import ContentRef, DecisionMade, Event, ItemCreated, SignalReceived, Subject, SubjectRef, decision_of
from leads.policies import Policies, QueuePolicy, load_policies
from leads.settings import POLICIES_FILE
from leads_client.fields import Tier, Verdict
from serving.queue import leases, reviews
from serving.queue.cases import Ruling
from serving.queue.decisions import Decided, decide_lead, decide_subject
from serving.queue.leads_table import Actor, Lead, get_lead, lead_id, read_audit
from serving.queue.leases import Claimed
from serving.queue.offers import Offer, Offered, offer
from serving.queue.queue import claim
from serving.queue.settling import settle
from tests.support.serving.queue_world import informed

NOW = clock.from_text("2026-03-01T12:00:00Z")
QUEUE = QueuePolicy(lease_minutes=15, max_claimed=3, reopen_after_reports=3)
SUBJECT = Subject("comment", "c1")
REF = SubjectRef("comment", "c1")
LEAD = lead_id(SUBJECT, "spam")
SPAM, HARMLESS = "free coins at https://x.io", "what a lovely bass line"


@pytest.fixture
def policies() -> Policies:
    return load_policies(POLICIES_FILE)


class Queue:
    """A queue whose clock moves on by a second with each step."""

    def __init__(self, engine: Engine, policies: Policies) -> None:
        self.engine = engine
        self.policies = policies
        self.now = NOW
        self.count = 0

    def tick(self) -> int:
        self.now += clock.SECOND
        self.count += 1
        return self.now

    def write(self, text: str, *, occurred_at: int | None = None, subject: str = "c1") -> int:
        now = self.tick()
        body = ItemCreated(SubjectRef("comment", subject), account_id="a1", text=text)
        event = Event(f"i{self.count}", occurred_at or now, body)
        with self.engine.begin() as connection:
            return event_log.append(connection, "test", [event], clock_=lambda: now).head.offset

    def import_decision(self, verdict: Verdict, *, occurred_at: int | None = None, reviewer: str = "eve") -> None:
        now = self.tick()
        body = DecisionMade(REF, "spam", verdict, "human", reviewer)
        with self.engine.begin() as connection:
            new = Event(f"d{self.count}", occurred_at or now, body)
            event_log.append(connection, "file", [new], clock_=lambda: now)
            settle(connection, subject_events.decisions(connection, [SUBJECT])[SUBJECT][-1:])

    def release(self, reviewer: str = "ann") -> Lead:
        now = self.tick()
        with self.engine.begin() as connection:
            return leases.release(connection, LEAD, actor=Actor(reviewer), queue=QUEUE, now=now)

    def report(self, reporter: str, harm: str | None = "spam") -> None:
        now = self.tick()
        body = SignalReceived(REF, "user_report", "app", harm, reporter)
        with self.engine.begin() as connection:
            event_log.append(connection, "test", [Event(f"s{self.count}", now, body)], clock_=lambda: now)

    def score(self, tier: Tier = "review", subject: str = "c1") -> Offered:
        now = self.tick()
        one = Offer(Subject("comment", subject), "spam", 0.9, tier, "3", f"p{self.count}", (), 3.0, 1.0, now)
        with self.engine.begin() as connection:
            return offer(connection, [one], now, QUEUE)

    def claim(self, reviewer: str = "ann", n: int = 1) -> list[Claimed]:
        now = self.tick()
        with self.engine.begin() as connection:
            return claim(connection, n=n, actor=Actor(reviewer), queue=QUEUE, now=now)

    def decide(self, verdict: Verdict, reviewer: str = "ann", **rest: object) -> Decided:
        now = self.tick()
        with self.engine.begin() as connection:
            ruling = informed(connection, LEAD, Ruling(verdict, Actor(reviewer), **rest))  # type: ignore[arg-type]
            return decide_lead(connection, LEAD, ruling, policies=self.policies, clock_=lambda: now)

    def decide_subject(self, verdict: Verdict, reviewer: str = "ann", **rest: object) -> Decided:
        now = self.tick()
        with self.engine.begin() as connection:
            ruling = informed(connection, LEAD, Ruling(verdict, Actor(reviewer), **rest))  # type: ignore[arg-type]
            return decide_subject(connection, SUBJECT, "spam", ruling, policies=self.policies, clock_=lambda: now)

    def lead(self) -> Lead:
        with self.engine.begin() as connection:
            return get_lead(connection, LEAD, queue=QUEUE, now=self.now)

    def held(self) -> ContentRef:
        with self.engine.begin() as connection:
            return current_contents(connection, [SUBJECT])[SUBJECT].ref

    def scored(self) -> str:
        """The hash of the content that the lead's score is about."""
        lead = self.lead()
        with self.engine.begin() as connection:
            held = current_contents(connection, [SUBJECT])
            return reviews.scored_contents(connection, [lead], held)[lead.id].hash

    def decisions(self) -> list[DecisionMade]:
        with self.engine.begin() as connection:
            return [decision_of(x) for x in subject_events.decisions(connection, [SUBJECT]).get(SUBJECT, [])]

    def trail(self) -> list[str]:
        with self.engine.begin() as connection:
            return [entry.action for entry in read_audit(connection, LEAD)]


@pytest.fixture
def queue(any_engine: Engine, policies: Policies) -> Queue:
    return Queue(any_engine, policies)


def test_a_claim_names_the_content_it_shows_and_the_decision_carries_it(queue: Queue) -> None:
    offset = queue.write(SPAM)
    queue.score()
    ((lead, review),) = queue.claim()
    assert review.content == ContentRef(offset, content_hash(ItemCreated(REF, text=SPAM)))
    assert (review.prediction_id, review.scored_at) == (lead.prediction_id, lead.scored_at)
    decided = queue.decide("violating")
    (decision,) = queue.decisions()
    assert decided.content == decision.content == review.content
    assert decided.review_id == decision.review_id == review.id
    assert decision.prediction_id == lead.prediction_id


def test_a_score_is_about_the_content_that_was_visible_then(queue: Queue) -> None:
    spam, harmless = (content_hash(ItemCreated(REF, text=text)) for text in (SPAM, HARMLESS))
    queue.write(SPAM)
    queue.score()
    assert queue.scored() == spam
    # Several edits since, one of them undone, and one that occurred before the score but arrived after it.
    for text in (HARMLESS, SPAM, HARMLESS):
        queue.write(text)
        assert queue.scored() == spam
    queue.write("another", occurred_at=NOW)
    assert queue.scored() == spam
    queue.score()
    assert queue.scored() == harmless
    # After many edits, nobody goes back to what was scored: it counts as changed.
    for i in range(20):
        queue.write(f"edit {i}")
    assert queue.scored() == content_hash(None)


def test_an_edit_after_the_claim_refuses_the_verdict_and_names_the_new_version(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.claim()
    queue.write(HARMLESS)
    with pytest.raises(Conflict, match="content has changed") as refused:
        queue.decide("violating")
    assert refused.value.field == "/contentVersion"
    assert to_token(queue.held()) in refused.value.message
    assert queue.decisions() == []
    assert queue.lead().state == "claimed"
    assert queue.decide("not_violating", content=queue.held()).content == queue.held()


def test_a_verdict_on_the_old_content_leaves_the_new_content_to_be_judged(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    ((_, review),) = queue.claim()
    queue.write(HARMLESS)
    decided = queue.decide("violating", on_old_content=True)
    assert decided.content == review.content
    assert queue.lead().state == "open"
    assert [decision.content for decision in queue.decisions()] == [review.content]
    queue.claim("bob")
    queue.decide("not_violating", "bob")
    assert queue.lead().verdict == "not_violating"


def test_plays_and_reports_never_refuse_a_verdict(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.claim()
    queue.report("r1")
    assert queue.decide("violating").lead is not None


def test_an_edit_back_to_the_shown_text_is_no_change(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.claim()
    queue.write(HARMLESS)
    queue.write(SPAM)
    assert queue.decide("violating").content.hash == queue.held().hash


def test_an_older_edit_that_arrives_late_changes_nothing(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.claim()
    queue.write(HARMLESS, occurred_at=NOW - clock.HOUR)
    queue.decide("violating")
    assert queue.lead().state == "decided"


def test_a_content_version_that_never_was_is_refused(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    with pytest.raises(Conflict, match="never had this content"):
        queue.decide("violating", content=ContentRef(99, "0" * 32))


def test_another_reviewers_review_cannot_be_named(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    ((_, review),) = queue.claim()
    queue.now += 16 * clock.MINUTE
    with pytest.raises(NotFound, match="no review with this id"):
        queue.decide("violating", "bob", review_id=review.id)


def test_an_expired_review_still_says_what_was_shown(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    ((_, review),) = queue.claim()
    queue.write(HARMLESS)
    queue.now += 16 * clock.MINUTE
    with pytest.raises(Conflict, match="content has changed"):
        queue.decide("violating", review_id=review.id)


@pytest.mark.parametrize("with_lead", [True, False])
def test_spam_after_a_verdict_on_harmless_content_is_a_lead_again(queue: Queue, with_lead: bool) -> None:
    queue.write(HARMLESS)
    if with_lead:
        queue.score()
    queue.decide_subject("not_violating")
    assert queue.score().opened == 0
    queue.write("  What a LOVELY bass line ")
    assert queue.score().opened == 0
    queue.write(SPAM)
    assert queue.score("none").opened == 0
    assert queue.score().opened == 1
    lead = queue.lead()
    assert (lead.state, lead.verdict, lead.decided_at) == ("open", None, None)
    assert queue.trail()[-1] == ("reopened" if with_lead else "offered")
    queue.claim("bob")
    queue.decide("violating", "bob")
    assert [x.verdict for x in queue.decisions()] == ["not_violating", "violating"]
    assert queue.lead().state == "decided"
    assert queue.score().opened == 0


def test_an_edit_back_to_judged_content_is_settled_already(queue: Queue) -> None:
    queue.write(HARMLESS)
    queue.decide_subject("not_violating")
    queue.write(SPAM)
    queue.write(HARMLESS)
    assert queue.score().opened == 0


def test_reports_that_the_verdict_did_not_know_open_the_lead_again(queue: Queue) -> None:
    queue.write(HARMLESS)
    queue.score()
    queue.report("r0")
    queue.decide("not_violating")
    for reporter in ("r1", "r1", "r2"):
        queue.report(reporter)
    queue.report("r3", harm="sexism")
    assert queue.score().opened == 0
    queue.report("r3")
    assert queue.score().opened == 1
    queue.claim("bob")
    queue.decide("violating", "bob")
    assert queue.lead().verdict == "violating"
    queue.report("r4")
    assert queue.score().opened == 0


def test_reports_do_not_open_what_was_found_violating(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.decide("violating")
    for reporter in ("r1", "r2", "r3", "r4"):
        queue.report(reporter)
    assert queue.score().opened == 0


def test_a_decision_from_elsewhere_settles_an_open_lead(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    now = queue.tick()
    body = DecisionMade(REF, "spam", "violating", "human", "eve")
    with queue.engine.begin() as connection:
        event_log.append(connection, "file", [Event("d1", now, body)], clock_=lambda: now)
    with queue.engine.begin() as connection:
        logged = subject_events.decisions(connection, [SUBJECT])[SUBJECT]
        assert settle(connection, logged) == 1
        assert settle(connection, logged) == 0
    lead = queue.lead()
    assert (lead.state, lead.verdict) == ("decided", "violating")
    assert queue.trail()[-1] == "decided_elsewhere"
    assert queue.claim() == []


def test_a_reviewer_holds_a_limited_number_of_leads_and_can_list_and_extend_them(queue: Queue) -> None:
    for i in range(5):
        queue.write(SPAM, subject=f"c{i}")
        queue.score(subject=f"c{i}")
    assert len(queue.claim(n=2)) == 2
    assert len(queue.claim(n=2)) == 1
    with pytest.raises(Conflict, match="holds 3 leads"):
        queue.claim()
    with queue.engine.begin() as connection:
        held = leases.held(connection, "ann", queue=QUEUE, now=queue.now, limit=10)
        assert len(held) == 3
        last = held[-1].lead
        queue.now += 10 * clock.MINUTE
        extended = leases.extend(connection, last.id, actor=Actor("ann"), queue=QUEUE, now=queue.now)
    assert extended.lease_until == queue.now + 15 * clock.MINUTE
    queue.now += 10 * clock.MINUTE
    with queue.engine.begin() as connection:
        assert [x.lead.id for x in leases.held(connection, "ann", queue=QUEUE, now=queue.now, limit=10)] == [last.id]
        assert leases.any_expired(connection, queue.now)
        assert leases.expire(connection, queue=QUEUE, now=queue.now) == 2
        assert leases.expire(connection, queue=QUEUE, now=queue.now) == 0
        with pytest.raises(Conflict, match="lease ran out"):
            leases.extend(connection, held[0].lead.id, actor=Actor("ann"), queue=QUEUE, now=queue.now)
        review = reviews.find(connection, held[0].review.id)
        assert review is not None
        assert review.state == "expired"
        assert [x.action for x in read_audit(connection, held[0].lead.id)][-1] == "lease_expired"


def test_each_claim_of_a_lead_has_a_higher_fence(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    fences = []
    for reviewer in ("ann", "bob", "ann"):
        ((lead, review),) = queue.claim(reviewer)
        fences.append(review.fence)
        with queue.engine.begin() as connection:
            leases.release(connection, lead.id, actor=Actor(reviewer), queue=QUEUE, now=queue.now)
    assert fences == [1, 2, 3]


def test_a_verdict_on_old_content_stands_until_an_appeal(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    ((_, review),) = queue.claim()
    queue.write(HARMLESS)
    assert not queue.decide("violating", on_old_content=True).repeated
    assert queue.decide("violating", on_old_content=True, content=review.content).repeated
    assert queue.decide("violating", on_old_content=True, review_id=review.id).repeated
    for decide in (queue.decide, queue.decide_subject):
        for reviewer in ("ann", "bob"):
            with pytest.raises(Conflict, match="already decided this: violating"):
                decide("not_violating", reviewer, on_old_content=True, content=review.content)
    assert len(queue.decisions()) == 1
    queue.decide_subject("not_violating", "bob", on_old_content=True, content=review.content, appeal=True)
    assert [x.verdict for x in queue.decisions()] == ["violating", "not_violating"]


def test_new_content_reopens_a_lead_and_leaves_the_old_verdict_alone(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    ((_, review),) = queue.claim()
    queue.decide("violating")
    queue.write("other spam at https://y.io")
    assert queue.score().opened == 1
    with pytest.raises(Conflict, match="already decided this: violating"):
        queue.decide("not_violating", "bob", on_old_content=True, content=review.content)
    assert queue.decide("not_violating", "bob").lead is not None
    assert queue.lead().verdict == "not_violating"


def test_an_edit_that_is_undone_closes_the_lead_by_the_verdict_that_stands(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.decide("violating")
    queue.write("other spam at https://y.io")
    queue.score()
    assert queue.lead().state == "open"
    queue.write(SPAM)
    with pytest.raises(Conflict, match="already decided this: violating"):
        queue.decide("not_violating", "bob")
    queue.score()
    assert (queue.lead().state, queue.lead().verdict) == ("decided", "violating")
    assert queue.trail()[-1] == "decided_elsewhere"


def test_repeating_a_verdict_closes_a_lead_that_an_undone_edit_left_open(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.decide("violating")
    queue.write("other spam at https://y.io")
    queue.score()
    queue.claim("bob")
    queue.write(SPAM)
    assert queue.release("bob").state == "decided"
    assert queue.lead().verdict == "violating"


def test_a_finished_review_decides_nothing_more(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    ((_, review),) = queue.claim()
    queue.decide("not_violating", review_id=review.id)
    for n in range(3):
        queue.report(f"r{n}")
    queue.score()
    assert queue.lead().state == "open"
    assert queue.decide("not_violating", review_id=review.id).repeated
    assert queue.lead().state == "open"
    with pytest.raises(Conflict, match="review has ended with the verdict not_violating"):
        queue.decide("violating", review_id=review.id)
    assert not queue.decide("violating").repeated


def test_only_people_who_had_not_reported_before_the_verdict_reopen_a_pair(queue: Queue) -> None:
    queue.write(SPAM)
    for n in range(3):
        queue.report(f"r{n}")
    queue.score()
    queue.decide("not_violating")
    for n in range(3):
        queue.report(f"r{n}")
    assert queue.score().opened == 0
    for n in range(3, 6):
        queue.report(f"r{n}")
    assert queue.score().opened == 1


def test_a_lead_whose_score_fell_while_it_was_claimed_is_withdrawn_when_it_is_free(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.claim()
    queue.write(HARMLESS)
    queue.score("none")
    assert queue.lead().state == "claimed"
    assert queue.release().state == "withdrawn"
    assert queue.trail()[-2:] == ["released", "withdrawn"]
    queue.score()
    queue.claim()
    queue.score("none")
    queue.now += 20 * clock.MINUTE
    with queue.engine.begin() as connection:
        assert leases.expire(connection, queue=QUEUE, now=queue.now) == 1
    assert queue.lead().state == "withdrawn"


def test_a_decision_from_a_file_and_the_lead_agree(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.decide("violating")
    queue.import_decision("not_violating", occurred_at=NOW)
    assert queue.lead().verdict == "violating"
    queue.import_decision("not_violating")
    assert queue.lead().verdict == "not_violating"
    assert queue.trail()[-1] == "overturned"
    assert queue.decide_subject("violating", "ann", appeal=True).lead is not None
    assert queue.lead().verdict == "violating"


def test_a_content_version_that_the_subject_never_had_is_refused(queue: Queue) -> None:
    offset = queue.write(HARMLESS)
    queue.write(SPAM)
    queue.score()
    held = queue.held()
    for wrong in (offset, 1_000_000):
        with pytest.raises(Conflict, match="never had this content version"):
            queue.decide("violating", content=ContentRef(wrong, held.hash))
    assert queue.decide("violating", content=held).content == held


def test_a_verdict_on_a_lead_that_nobody_claimed_says_what_was_shown(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    shown = queue.held()
    queue.write(HARMLESS)
    lead, unseen = (SUBJECT, "spam"), Ruling("violating", Actor("ann"))
    with queue.engine.begin() as connection:
        for decide in (
            lambda: decide_lead(connection, LEAD, unseen, policies=queue.policies, clock_=lambda: queue.now),
            lambda: decide_subject(connection, *lead, unseen, policies=queue.policies, clock_=lambda: queue.now),
        ):
            with pytest.raises(InvalidInput, match="which content the verdict is about") as caught:
                decide()
            assert caught.value.field == "/contentVersion"
    with pytest.raises(Conflict, match="content has changed"):
        queue.decide("violating", content=shown)
    assert queue.decide("violating", content=queue.held()).lead is not None


def test_an_appeal_says_what_was_shown(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    ((_, review),) = queue.claim()
    queue.decide("violating", review_id=review.id)
    for named in (None, review.id):
        appeal = Ruling("not_violating", Actor("ann"), appeal=True, review_id=named)
        with queue.engine.begin() as connection, pytest.raises(InvalidInput, match="which content"):
            decide_subject(connection, SUBJECT, "spam", appeal, policies=queue.policies, clock_=lambda: queue.now)


def test_conflicts_can_be_told_apart(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    ((_, review),) = queue.claim()
    with pytest.raises(LeadClaimed, match=r"^Another reviewer has claimed this lead\. Decide it after"):
        queue.decide("violating", "bob")
    with pytest.raises(NotClaimed, match="its state is claimed"):
        queue.release("bob")
    queue.now += 15 * clock.MINUTE
    with pytest.raises(LeaseExpired, match=r"lease ran out at 2026-03-01T12:15:\d\dZ; the lead's state is open"):
        queue.release("ann")
    queue.claim("bob")
    with pytest.raises(LeaseExpired, match="the lead's state is claimed"):
        queue.release("ann")
    with pytest.raises(LeadClaimed, match="own lease ran out at"):
        queue.decide("violating", review_id=review.id)
    queue.release("bob")
    with pytest.raises(NotClaimed):
        queue.release("bob")
    assert queue.decide("violating", review_id=review.id).review_id == review.id
    with pytest.raises(AlreadyDecided):
        queue.decide("not_violating", "bob")


def test_a_senior_decides_an_escalated_lead_without_a_claim_or_an_appeal(queue: Queue) -> None:
    queue.write(SPAM)
    queue.score()
    queue.claim()
    queue.decide("escalate")
    queue.score()
    assert (queue.lead().state, queue.claim("sue")) == ("escalated", [])
    unseen = Ruling("violating", Actor("sue"))
    with queue.engine.begin() as connection, pytest.raises(InvalidInput):
        decide_lead(connection, LEAD, unseen, policies=queue.policies, clock_=lambda: queue.now)
    decided = queue.decide("violating", "sue", content=queue.held())
    assert decided.lead is not None
    assert (decided.lead.state, decided.lead.verdict) == ("decided", "violating")
    with pytest.raises(AlreadyDecided):
        queue.decide("violating", "tom", content=queue.held())
