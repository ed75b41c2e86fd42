"""Decides a (subject, harm): event, lead and audit entry are written in one transaction.

A human's decision outranks automation's and stands until an appeal. Repeating a reviewer's verdict has no effect.
`escalate` takes the lead out of the queue without deciding it.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Clock, Micros
from leads.db import event_log, subject_events
from leads.db.items import current_items
from leads.db.tables import leads
from leads.errors import Conflict, InvalidInput, NotFound
from leads.events import DecisionMade, Event, Subject, SubjectRef
from leads.policies import Policies
from leads.rules import standing_decision
from leads_client.fields import DecidedBy, Verdict
from serving.queue.leads_table import AuditEntry, Lead, find_lead, get_lead, lead_id, write_audit


class Ruling(NamedTuple):
    """A verdict to record. `appeal` allows it to overturn an earlier human decision."""

    verdict: Verdict
    reviewer: str
    by: DecidedBy = "human"
    reason: str = ""
    appeal: bool = False


class Decided(NamedTuple):
    """The decision that now stands. `repeated` if it already stood and nothing changed."""

    subject: Subject
    harm: str
    ruling: Ruling
    lead: Lead | None
    event_id: str | None
    repeated: bool


def decide_lead(
    connection: Connection, id_: str, ruling: Ruling, *, policies: Policies, clock_: Clock = clock.now
) -> Decided:
    """Decide a lead, in the caller's transaction.

    Raises:
        NotFound: the lead doesn't exist.
        Conflict: another reviewer has claimed it, or it was decided differently.
    """
    event_log.lock_head(connection)
    lead = get_lead(connection, id_, queue=policies.queue, now=clock_(), lock=True)
    return _decide(connection, lead.subject, lead.harm, lead, ruling, clock_)


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
        NotFound: the harm or the subject doesn't exist.
        InvalidInput: the harm doesn't apply to this type of subject.
        Conflict: another reviewer has claimed its lead, or it was decided differently and this isn't an appeal.
    """
    if subject.type_id not in policies.harm(harm, field="/harm").subject_types:
        raise InvalidInput(
            f"{harm} doesn't apply to subjects of type {subject.type_id!r}.",
            field="/subject/typeId",
            remedy=f"It applies to: {', '.join(policies.harm(harm).subject_types)}.",
        )
    event_log.lock_head(connection)
    lead = find_lead(connection, lead_id(subject, harm), queue=policies.queue, now=clock_(), lock=True)
    if lead is None and subject not in current_items(connection, [subject]):
        raise NotFound(
            f"{subject.type_id} {subject.id!r} is unknown.",
            field="/subject/id",
            remedy="Send it with POST /v1/items first.",
        )
    return _decide(connection, subject, harm, lead, ruling, clock_)


def _decide(
    connection: Connection, subject: Subject, harm: str, lead: Lead | None, ruling: Ruling, clock_: Clock
) -> Decided:
    past = [d for d in subject_events.decisions(connection, [subject]).get(subject, []) if d.harm == harm]
    if past and _same(past[-1], ruling):
        return Decided(subject, harm, ruling, lead, None, repeated=True)
    _check(standing_decision(past), lead, ruling)
    event = _event(subject, harm, lead, ruling, len(past), clock_())
    event_log.append_own(connection, event, clock_=clock_)
    at = event.occurred_at
    if lead is not None:
        lead = _settle(connection, lead, ruling, at)
    detail = {"verdict": ruling.verdict, "by": ruling.by, "reason": ruling.reason, "event_id": event.id}
    action = "escalated" if ruling.verdict == "escalate" else "overturned" if ruling.appeal and past else "decided"
    write_audit(
        connection,
        [AuditEntry(at, lead_id(subject, harm) if lead else None, subject, harm, action, ruling.reviewer, detail)],
    )
    return Decided(subject, harm, ruling, lead, event.id, repeated=False)


def _same(decision: DecisionMade, ruling: Ruling) -> bool:
    return (decision.verdict, decision.reviewer, decision.by) == (ruling.verdict, ruling.reviewer, ruling.by)


def _check(standing: DecisionMade | None, lead: Lead | None, ruling: Ruling) -> None:
    if lead and lead.claimed_by not in (None, ruling.reviewer):
        raise Conflict(
            "Another reviewer has claimed this lead.",
            remedy=f"Decide it after {clock.to_text(lead.lease_until or 0)}, or ask the reviewer to release it.",
        )
    if standing is None or (standing.by == "automation" and ruling.by == "human"):
        return
    if ruling.by == "automation":
        raise Conflict(
            f"{'A human' if standing.by == 'human' else 'Automation'} has already decided this: {standing.verdict}.",
            remedy="Automation can't change a decision.",
        )
    if not ruling.appeal:
        raise Conflict(
            f"A human has already decided this: {standing.verdict}.",
            remedy="To overturn the decision, send yours with `appeal: true` to POST /v1/decisions.",
        )


def _event(subject: Subject, harm: str, lead: Lead | None, ruling: Ruling, nth: int, at: Micros) -> Event:
    body = DecisionMade(
        subject=SubjectRef(subject.type_id, subject.id),
        harm=harm,
        verdict=ruling.verdict,
        by=ruling.by,
        reviewer=ruling.reviewer,
        lead_id=lead.id if lead else None,
        reason=ruling.reason,
    )
    identity = f"{lead_id(subject, harm)}\0{nth}\0{ruling.verdict}\0{ruling.reviewer}\0{ruling.by}"
    return Event("d_" + hashlib.blake2b(identity.encode(), digest_size=12).hexdigest(), at, body)


def _settle(connection: Connection, lead: Lead, ruling: Ruling, at: Micros) -> Lead:
    state = "escalated" if ruling.verdict == "escalate" else "decided"
    connection.execute(
        sa.update(leads)
        .where(leads.c.id == lead.id)
        .values(state=state, verdict=ruling.verdict, decided_at=at, claimed_by=None, lease_until=None)
    )
    return msgspec.structs.replace(
        lead, state=state, verdict=ruling.verdict, decided_at=at, claimed_by=None, lease_until=None
    )
