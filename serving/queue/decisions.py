"""Decides a (subject, harm): event, lead, review and audit entry are written in one transaction.

A verdict is about the content that the reviewer was shown. A human's decision on that content outranks automation's and
stands until an appeal. Repeating a reviewer's verdict has no effect. `escalate` takes the lead out of the queue without
deciding it.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Clock, Micros
from leads.content import to_token
from leads.db import event_log
from leads.errors import AlreadyDecided, Conflict, InvalidInput, LeadClaimed, NotFound
from leads.events import ContentRef, DecisionMade, Event, Subject, SubjectRef, decision_of
from leads.policies import Policies
from leads.rules import standing_decision
from serving.queue import reviews
from serving.queue.cases import Case, Ruling, read_case
from serving.queue.leads_table import AuditEntry, Lead, find_lead, get_lead, lead_id, write_audit
from serving.queue.settling import close_decided, close_lead
from serving.queue.states import Counts, counting, move


class Decided(NamedTuple):
    """The decision that now stands, and the content it is about. `repeated` if it already stood and nothing changed."""

    subject: Subject
    harm: str
    ruling: Ruling
    content: ContentRef
    lead: Lead | None
    review_id: str | None
    repeated: bool


def decide_lead(
    connection: Connection, id_: str, ruling: Ruling, *, policies: Policies, clock_: Clock = clock.now
) -> Decided:
    """Decide a lead, in the caller's transaction.

    Raises:
        NotFound: the lead, or the review that the ruling names, doesn't exist.
        InvalidInput: nothing says which content the verdict is about.
        Conflict: another reviewer has claimed it, its content has changed, or it was decided differently.
    """
    event_log.lock_head(connection)
    lead = get_lead(connection, id_, queue=policies.queue, now=clock_(), lock=True)
    return _decide(connection, read_case(connection, lead.subject, lead.harm, lead, ruling), ruling, clock_)


def decide_subject(
    connection: Connection,
    subject: Subject,
    harm: str,
    ruling: Ruling,
    *,
    policies: Policies,
    clock_: Clock = clock.now,
) -> Decided:
    """Decide a subject, with or without a lead, in the caller's transaction.

    Raises:
        NotFound: the harm, the subject or the review doesn't exist.
        InvalidInput: the harm doesn't apply to this type of subject, or it has a lead and nothing says which content
            the verdict is about.
        Conflict: another reviewer has claimed its lead, its content has changed, or it was decided differently and this
            isn't an appeal.
    """
    policies.harm(harm, field="/harm")
    policies.check_type(harm, subject.type_id, field="/subject/typeId")
    event_log.lock_head(connection)
    lead = find_lead(connection, lead_id(subject, harm), queue=policies.queue, now=clock_(), lock=True)
    case = read_case(connection, subject, harm, lead, ruling)
    if lead is None and not case.held.offset:
        raise NotFound(
            f"{subject.type_id} {subject.id!r} is unknown.",
            field="/subject/id",
            remedy="Send it with POST /v1/items first.",
        )
    return _decide(connection, case, ruling, clock_)


def _decide(connection: Connection, case: Case, ruling: Ruling, clock_: Clock) -> Decided:
    subject, harm, lead = case.subject, case.harm, case.lead
    if case.review and case.review.has_verdict:
        lead = _follow(connection, case, clock_())
        return Decided(subject, harm, ruling, case.judged, lead, case.review.id, repeated=True)
    last = decision_of(case.past[-1]) if case.past else None
    if last and _same(last, ruling):
        lead = _follow(connection, case, clock_())
        return Decided(subject, harm, ruling, case.judged, lead, last.review_id, repeated=True)
    standing = standing_decision(case.past)
    _check_free(connection, lead, ruling, clock_())
    _check(decision_of(standing) if standing else None, ruling)
    _check_shown(case, ruling)
    if case.judged.hash != case.held.hash and not ruling.on_old_content:
        raise Conflict(
            f"The content has changed since it was shown; its version is now {to_token(case.held)}.",
            field="/contentVersion",
            remedy="Judge the new content, or send `onOldContent: true` if the verdict is about the old one.",
        )
    at = clock_()
    review_id = _end_review(connection, case, ruling, at)
    event = _event(connection, case, ruling, review_id, at)
    offset = event_log.append_own(connection, event, clock_=clock_)
    if lead is not None:
        lead = _settle_lead(connection, case, lead, ruling, at)
    _audit(connection, case, ruling, review_id, at, offset)
    return Decided(subject, harm, ruling, case.judged, lead, review_id, repeated=False)


def _follow(connection: Connection, case: Case, at: Micros) -> Lead | None:
    """Close the lead if it is open although what its subject holds was decided: the decision says all there is."""
    lead = case.lead
    if lead is None or not case.past or lead.state not in ("open", "claimed") or case.judged.hash != case.held.hash:
        return lead
    with counting(connection) as changes:
        close_decided(connection, changes, lead.id, case.past[-1], at)
    changed = {"state": "decided", "verdict": decision_of(case.past[-1]).verdict, "decided_at": at}
    return msgspec.structs.replace(lead, **changed, claimed_by=None, lease_until=None)


def _same(decision: DecisionMade, ruling: Ruling) -> bool:
    return (decision.verdict, decision.reviewer, decision.by) == (ruling.verdict, ruling.actor.name, ruling.by)


def _check_shown(case: Case, ruling: Ruling) -> None:
    """A lead's content may have changed since somebody looked at it, so a person says which version they judged."""
    if case.lead is None or case.review or ruling.content or ruling.by != "human":
        return
    raise InvalidInput(
        "Nothing says which content the verdict is about: this reviewer doesn't hold the lead.",
        field="/contentVersion",
        remedy="Send the `contentVersion` of the content that was shown, from GET /v1/leads/{id} or an earlier claim; "
        "or claim the lead, show its content and decide it with the `reviewId` of the claim.",
    )


def _check_free(connection: Connection, lead: Lead | None, ruling: Ruling, now: Micros) -> None:
    if lead is None or lead.claimed_by in (None, ruling.actor.name):
        return
    lapsed = reviews.ran_out(connection, lead.id, ruling.actor.name, now)
    since = f" This reviewer's own lease ran out at {clock.to_text(lapsed)}." if lapsed else ""
    raise LeadClaimed(
        f"Another reviewer has claimed this lead.{since}",
        remedy=f"Decide it after {clock.to_text(lead.lease_until or 0)}, or ask the reviewer to release it.",
    )


def _check(standing: DecisionMade | None, ruling: Ruling) -> None:
    if standing is None or (standing.by == "automation" and ruling.by == "human"):
        return
    if ruling.by == "automation":
        raise AlreadyDecided(
            f"{'A human' if standing.by == 'human' else 'Automation'} has already decided this: {standing.verdict}.",
            remedy="Automation can't change a decision.",
        )
    if not ruling.appeal:
        same = standing.verdict == ruling.verdict
        raise AlreadyDecided(
            f"A human has already decided this: {standing.verdict}{', the same verdict' if same else ''}.",
            remedy="Nothing is left to do."
            if same
            else "To overturn the decision, send yours with `appeal: true` to POST /v1/decisions.",
        )


def _event(connection: Connection, case: Case, ruling: Ruling, review_id: str | None, at: Micros) -> Event:
    subject, lead = case.subject, case.lead
    body = DecisionMade(
        subject=SubjectRef(subject.type_id, subject.id),
        harm=case.harm,
        verdict=ruling.verdict,
        by=ruling.by,
        reviewer=ruling.actor.name,
        lead_id=lead.id if lead else None,
        reason=ruling.reason,
        review_id=review_id,
        content=case.judged,
        prediction_id=case.review.prediction_id if case.review else lead.prediction_id if lead else None,
    )
    # The head is locked, so no other decision can take this offset.
    identity = f"{lead_id(subject, case.harm)}\0{event_log.head(connection).offset + 1}"
    return Event("d_" + hashlib.blake2b(identity.encode(), digest_size=12).hexdigest(), at, body)


def _end_review(connection: Connection, case: Case, ruling: Ruling, at: Micros) -> str | None:
    """End the review that led to the ruling. Where nobody claimed the lead, a review of this moment stands for it."""
    state: reviews.ReviewState = "escalated" if ruling.verdict == "escalate" else "decided"
    if case.review is not None:
        reviews.finish(connection, case.review.id, state, at, ruling.verdict)
        return case.review.id
    if case.lead is None:
        return None
    (review,) = reviews.start(
        connection,
        [case.lead],
        ruling.actor,
        state=state,
        now=at,
        purpose="appeal" if ruling.appeal else "ranked",
        content=case.judged,
        verdict=ruling.verdict,
    )
    return review.id


def _settle_lead(connection: Connection, case: Case, lead: Lead, ruling: Ruling, at: Micros) -> Lead:
    with counting(connection) as changes:
        return _close_or_open(connection, changes, case, lead, ruling, at)


def _close_or_open(connection: Connection, changes: Counts, case: Case, lead: Lead, ruling: Ruling, at: Micros) -> Lead:
    if case.judged.hash == case.held.hash:
        state = close_lead(connection, changes, lead.id, ruling.verdict, at)
        changed = {"state": state, "verdict": ruling.verdict, "decided_at": at}
    elif lead.state in ("open", "claimed"):
        # The verdict counts for the old content. The lead is about the new one, which nobody has judged yet.
        changed = {"state": "open"}
        move(connection, changes, [lead.id], "open", claimed_by=None, lease_until=None)
    else:
        return lead
    return msgspec.structs.replace(lead, **changed, claimed_by=None, lease_until=None)


def _audit(connection: Connection, case: Case, ruling: Ruling, review_id: str | None, at: Micros, offset: int) -> None:
    subject, harm = case.subject, case.harm
    detail = {
        "verdict": ruling.verdict,
        "by": ruling.by,
        "reason": ruling.reason,
        "offset": offset,
        "review_id": review_id,
        "content": msgspec.to_builtins(case.judged),
        "old_content": case.judged.hash != case.held.hash,
    }
    overturned = ruling.appeal and bool(case.past)
    action = "escalated" if ruling.verdict == "escalate" else "overturned" if overturned else "decided"
    id_ = lead_id(subject, harm) if case.lead else None
    write_audit(connection, [AuditEntry(at, id_, subject, harm, action, ruling.actor, detail)])
