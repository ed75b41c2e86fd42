"""Takes leads out of the queue: by a decision on them, or because their pair was decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.content import ref_of
from leads.db import subject_events
from leads.db.items import current_contents, judged_contents
from leads.db.tables import leads
from leads.events import ContentRef, LoggedEvent, Subject, decision_of
from leads.rules import standing_decision
from leads_client.fields import Verdict
from serving.queue import reviews
from serving.queue.leads_table import Actor, AuditEntry, lead_id, write_audit
from serving.queue.states import Counts, counting, move

_EVENT_LOG = Actor("event log")


def settle(connection: Connection, decided: Sequence[LoggedEvent]) -> int:
    """Let leads follow decisions that were made elsewhere, such as in an ingested file; returns how many changed.

    An open or claimed lead leaves the queue. A decided lead takes the verdict that stands now. A lead that was opened
    again after the decision stays open.
    """
    with counting(connection) as changes:
        ids = {lead_id(body.subject.subject, body.harm) for body in map(decision_of, decided)}
        # All writers lock in the same order, which prevents deadlocks.
        connection.execute(sa.select(leads.c.id).where(leads.c.id.in_(ids)).order_by(leads.c.id).with_for_update())
        return sum(_settle(connection, changes, logged) for logged in decided)


def _settle(connection: Connection, changes: Counts, logged: LoggedEvent) -> bool:
    body = decision_of(logged)
    id_ = lead_id(body.subject.subject, body.harm)
    lead = connection.execute(sa.select(leads).where(leads.c.id == id_)).first()
    if lead is None or lead.state not in ("open", "claimed", "decided"):
        return False
    subject = body.subject.subject
    held = ref_of(current_contents(connection, [subject]).get(subject))
    about = decisions_on(connection, subject, body.harm, held, after=lead.reopened_after or 0)
    if logged.offset not in [one.offset for one in about]:
        return False
    standing = standing_decision(about)
    if lead.state != "decided":
        close_decided(connection, changes, id_, standing or logged, logged.visible_at)
    elif standing and decision_of(standing).verdict != lead.verdict:
        close_decided(connection, changes, id_, standing, logged.visible_at, action="overturned")
    else:
        return False
    return True


def decisions_on(
    connection: Connection, subject: Subject, harm: str, content: ContentRef, *, after: int
) -> list[LoggedEvent]:
    """The decisions after an offset about a subject with this content under a harm, in the order of the log."""
    decided = [
        logged
        for logged in subject_events.decisions(connection, [subject]).get(subject, [])
        if logged.offset > after and decision_of(logged).harm == harm
    ]
    judged = judged_contents(connection, decided)
    return [logged for logged in decided if judged[logged.offset].hash == content.hash]


def close_decided(
    connection: Connection,
    changes: Counts,
    id_: str,
    decision: LoggedEvent,
    at: Micros,
    *,
    action: str = "decided_elsewhere",
) -> None:
    """Close a lead by a decision that was not made on it, with an audit entry."""
    body = decision_of(decision)
    close_lead(connection, changes, id_, body.verdict, at)
    detail = {"verdict": body.verdict, "by": body.by, "reviewer": body.reviewer, "offset": decision.offset}
    write_audit(connection, [AuditEntry(at, id_, body.subject.subject, body.harm, action, _EVENT_LOG, detail)])


def close_lead(connection: Connection, changes: Counts, id_: str, verdict: Verdict, at: Micros) -> str:
    """Record the verdict in the lead, and end its live review; returns the lead's new state."""
    state = "escalated" if verdict == "escalate" else "decided"
    move(connection, changes, [id_], state, verdict=verdict, decided_at=at, claimed_by=None, lease_until=None)
    reviews.end(connection, [id_], "released", at, None)
    return state
