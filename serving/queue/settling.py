"""Takes leads out of the queue: by a decision on them, or because their pair was decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.content import judged, newest, ref_of
from leads.db.items import contents
from leads.db.tables import leads
from leads.events import LoggedEvent, decision_of
from leads_client.fields import Verdict
from serving.queue import reviews
from serving.queue.leads_table import Actor, AuditEntry, lead_id, write_audit

_EVENT_LOG = Actor("event log")


def settle(connection: Connection, decided: Sequence[LoggedEvent]) -> int:
    """Take leads out of the queue whose pair was decided elsewhere, such as in an ingested file; returns how many.

    A lead that was opened again after the decision stays open.
    """
    settled = 0
    for logged in decided:
        body = decision_of(logged)
        id_ = lead_id(body.subject.subject, body.harm)
        lead = connection.execute(sa.select(leads).where(leads.c.id == id_).with_for_update()).first()
        if lead is None or lead.state not in ("open", "claimed") or logged.offset <= (lead.reopened_after or 0):
            continue
        versions = contents(connection, [body.subject.subject]).get(body.subject.subject, [])
        if judged(logged, versions).hash != ref_of(newest(versions)).hash:
            continue
        close_lead(connection, id_, body.verdict, logged.visible_at)
        detail = {"verdict": body.verdict, "by": body.by, "reviewer": body.reviewer, "offset": logged.offset}
        entry = AuditEntry(
            logged.visible_at, id_, body.subject.subject, body.harm, "decided_elsewhere", _EVENT_LOG, detail
        )
        write_audit(connection, [entry])
        settled += 1
    return settled


def close_lead(connection: Connection, id_: str, verdict: Verdict, at: Micros) -> str:
    """Record the verdict in the lead, and end its live review; returns the lead's new state."""
    state = "escalated" if verdict == "escalate" else "decided"
    values = {"state": state, "verdict": verdict, "decided_at": at, "claimed_by": None, "lease_until": None}
    connection.execute(sa.update(leads).where(leads.c.id == id_).values(**values))
    reviews.end(connection, [id_], "released", at, None)
    return state
