"""Leases: a claimed lead belongs to one reviewer until it is decided, released, or the lease runs out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.tables import leads
from leads.errors import Conflict
from leads.events import Subject
from leads.policies import QueuePolicy
from serving.queue import reviews
from serving.queue.leads_table import Actor, AuditEntry, Lead, get_lead, read_lead, select_leads, write_audit
from serving.queue.reviews import Review

_LEASES = Actor("leases")
_PER_CALL = 1_000


class Claimed(NamedTuple):
    """A lead and the review that holds it."""

    lead: Lead
    review: Review


def start(
    connection: Connection, free: Sequence[Lead], actor: Actor, *, queue: QueuePolicy, now: Micros
) -> list[Claimed]:
    """Lease open leads, which the caller has locked, to a reviewer."""
    lease_until = _lease_until(queue, now)
    _set(connection, [lead.id for lead in free], state="claimed", claimed_by=actor.name, lease_until=lease_until)
    started = reviews.start(connection, free, actor, state="claimed", now=now, lease_until=lease_until)
    write_audit(
        connection,
        [
            AuditEntry(
                now,
                lead.id,
                lead.subject,
                lead.harm,
                "claimed",
                actor,
                {"lease_until": lease_until, "review_id": review.id, "content": msgspec.to_builtins(review.content)},
            )
            for lead, review in zip(free, started, strict=True)
        ],
    )
    return [
        Claimed(msgspec.structs.replace(lead, state="claimed", claimed_by=actor.name, lease_until=lease_until), review)
        for lead, review in zip(free, started, strict=True)
    ]


def held(connection: Connection, reviewer: str, *, queue: QueuePolicy, now: Micros, limit: int) -> list[Claimed]:
    """The leads that a reviewer holds, with those whose lease runs out first at the front."""
    found = reviews.held_by(connection, reviewer, now, limit=limit)
    query = select_leads(queue, now).where(leads.c.id.in_([review.lead_id for review in found]))
    by_id = {row.id: read_lead(row) for row in connection.execute(query)}
    return [Claimed(by_id[review.lead_id], review) for review in found]


def release(connection: Connection, id_: str, *, actor: Actor, queue: QueuePolicy, now: Micros) -> Lead:
    """Release a claimed lead.

    Raises:
        NotFound: the lead doesn't exist.
        Conflict: the reviewer hasn't claimed it, or the lease has run out.
    """
    lead = _own(connection, id_, actor, queue, now)
    _set(connection, [lead.id], **_OPEN)
    reviews.end(connection, [lead.id], "released", now, None)
    write_audit(connection, [AuditEntry(now, lead.id, lead.subject, lead.harm, "released", actor, {})])
    return msgspec.structs.replace(lead, **_OPEN)


def extend(connection: Connection, id_: str, *, actor: Actor, queue: QueuePolicy, now: Micros) -> Lead:
    """Let a lease last for another full period from now.

    Raises:
        NotFound, Conflict: as `release`.
    """
    lead = _own(connection, id_, actor, queue, now)
    lease_until = _lease_until(queue, now)
    _set(connection, [lead.id], lease_until=lease_until)
    reviews.extend(connection, lead.id, lease_until)
    detail = {"lease_until": lease_until}
    write_audit(connection, [AuditEntry(now, lead.id, lead.subject, lead.harm, "extended", actor, detail)])
    return msgspec.structs.replace(lead, lease_until=lease_until)


def any_expired(connection: Connection, now: Micros) -> bool:
    """Whether the lease of any lead has run out; takes no lock."""
    query = sa.select(leads.c.id).where(leads.c.state == "claimed", leads.c.lease_until <= now).limit(1)
    return connection.execute(query).first() is not None


def expire(connection: Connection, now: Micros) -> int:
    """Open the leads whose lease has run out, with an audit entry for each; returns how many there were."""
    query = (
        sa.select(leads.c.id, leads.c.type_id, leads.c.subject_id, leads.c.harm, leads.c.claimed_by)
        .where(leads.c.state == "claimed", leads.c.lease_until <= now)
        .order_by(leads.c.id)
        .limit(_PER_CALL)
        .with_for_update(skip_locked=True)
    )
    found = connection.execute(query).all()
    ids = [row.id for row in found]
    _set(connection, ids, **_OPEN)
    reviews.end(connection, ids, "expired", now, None)
    entries = [
        AuditEntry(
            now,
            row.id,
            Subject(row.type_id, row.subject_id),
            row.harm,
            "lease_expired",
            _LEASES,
            {"reviewer": row.claimed_by},
        )
        for row in found
    ]
    write_audit(connection, entries)
    return len(found)


_OPEN: dict[str, Any] = {"state": "open", "claimed_by": None, "lease_until": None}


def _own(connection: Connection, id_: str, actor: Actor, queue: QueuePolicy, now: Micros) -> Lead:
    lead = get_lead(connection, id_, queue=queue, now=now, lock=True)
    if lead.claimed_by != actor.name:
        raise Conflict(
            f"This reviewer has not claimed the lead; its state is {lead.state}.",
            remedy="Only the reviewer who claimed a lead can release it or extend its lease, and only while it lasts.",
        )
    return lead


def _lease_until(queue: QueuePolicy, now: Micros) -> Micros:
    return now + round(queue.lease_minutes * clock.MINUTE)


def _set(connection: Connection, ids: list[str], **values: Any) -> None:
    if ids:
        connection.execute(sa.update(leads).where(leads.c.id.in_(ids)).values(**values))
