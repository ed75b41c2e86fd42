"""Leases: a claimed lead belongs to one reviewer until it is decided, released, or the lease runs out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.tables import leads
from leads.errors import Conflict, LeaseExpired, NotClaimed
from leads.events import LoggedEvent
from leads.policies import QueuePolicy
from serving.queue import reviews
from serving.queue.leads_table import Actor, AuditEntry, Lead, get_lead, read_lead, select_leads, write_audit
from serving.queue.reopening import decided_pairs
from serving.queue.reviews import Review
from serving.queue.settling import close_decided
from serving.queue.states import Counts, counting, move

_LEASES = Actor("leases")
_PER_CALL = 1_000
# Written out, so that the index of claimed leads serves it.
_CLAIMED = sa.text("leads.state = 'claimed'")


class Claimed(NamedTuple):
    """A lead and the review that holds it."""

    lead: Lead
    review: Review


def start(
    connection: Connection, changes: Counts, free: Sequence[Lead], actor: Actor, *, queue: QueuePolicy, now: Micros
) -> list[Claimed]:
    """Lease open leads, which the caller has locked, to a reviewer."""
    lease_until = _lease_until(queue, now)
    move(connection, changes, [lead.id for lead in free], "claimed", claimed_by=actor.name, lease_until=lease_until)
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
    query = select_leads(now).where(leads.c.id.in_([review.lead_id for review in found]))
    by_id = {row.id: read_lead(row, queue, now) for row in connection.execute(query)}
    return [Claimed(by_id[review.lead_id], review) for review in found]


def release(connection: Connection, id_: str, *, actor: Actor, queue: QueuePolicy, now: Micros) -> Lead:
    """Release a claimed lead. It opens again, if there is still something to judge.

    Raises:
        NotFound: the lead doesn't exist.
        Conflict: the reviewer hasn't claimed it, or the lease has run out.
    """
    with counting(connection) as changes:
        lead = _own(connection, id_, actor, queue, now)
        reviews.end(connection, [lead.id], "released", now, None)
        write_audit(connection, [AuditEntry(now, lead.id, lead.subject, lead.harm, "released", actor, {})])
        _give_back(connection, changes, [lead], queue=queue, now=now)
    return get_lead(connection, id_, queue=queue, now=now)


def extend(connection: Connection, id_: str, *, actor: Actor, queue: QueuePolicy, now: Micros) -> Lead:
    """Let a lease last for another full period from now.

    Raises:
        NotFound, Conflict: as `release`.
    """
    lead = _own(connection, id_, actor, queue, now)
    lease_until = _lease_until(queue, now)
    connection.execute(sa.update(leads).where(leads.c.id == lead.id).values(lease_until=lease_until))
    reviews.extend(connection, lead.id, lease_until)
    detail = {"lease_until": lease_until}
    write_audit(connection, [AuditEntry(now, lead.id, lead.subject, lead.harm, "extended", actor, detail)])
    return msgspec.structs.replace(lead, lease_until=lease_until)


def any_expired(connection: Connection, now: Micros) -> bool:
    """Whether the lease of any lead has run out; takes no lock."""
    query = sa.select(leads.c.id).where(_CLAIMED, leads.c.lease_until <= now).order_by(leads.c.lease_until).limit(1)
    return connection.execute(query).first() is not None


def expire(connection: Connection, *, queue: QueuePolicy, now: Micros) -> int:
    """End the leases that have run out, with an audit entry for each; returns how many there were.

    Their leads open again, if there is still something to judge.
    """
    with counting(connection) as changes:
        return end_expired(connection, changes, queue=queue, now=now)


def end_expired(
    connection: Connection, changes: Counts, *, queue: QueuePolicy, now: Micros, among: Sequence[str] | None = None
) -> int:
    """Like `expire`, as a part of the caller's changes.

    Args:
        among: only leads with these ids, which the caller has locked.
    """
    # As of before they expired, so that they name who held them.
    query = select_leads(0).where(_CLAIMED, leads.c.lease_until <= now).order_by(leads.c.lease_until, leads.c.id)
    if among is None:
        query = query.limit(_PER_CALL).with_for_update(skip_locked=True)
    else:
        query = query.where(leads.c.id.in_(among))
    found = [read_lead(row, queue, now) for row in connection.execute(query)]
    if not found:
        return 0
    reviews.end(connection, [lead.id for lead in found], "expired", now, None)
    entries = [
        AuditEntry(now, lead.id, lead.subject, lead.harm, "lease_expired", _LEASES, {"reviewer": lead.claimed_by})
        for lead in found
    ]
    write_audit(connection, entries)
    _give_back(connection, changes, found, queue=queue, now=now)
    return len(found)


def _give_back(
    connection: Connection, changes: Counts, claimed: Sequence[Lead], *, queue: QueuePolicy, now: Micros
) -> None:
    """Open leads that nobody holds any longer, except those in which nothing is left to judge.

    While a lead is claimed, new scores don't take it from its reviewer. So its score may have fallen below the review
    tier by now, or an edit may have brought back content that was decided before.
    """
    low = [lead for lead in claimed if lead.tier == "none"]
    decided = decided_pairs(connection, [(lead.subject, lead.harm) for lead in claimed if lead.tier != "none"], queue)
    closed: dict[str, LoggedEvent] = {}
    for lead in claimed:
        past = decided.get((lead.subject, lead.harm))
        if past and past.settles:
            closed[lead.id] = past.settles
    free = {"claimed_by": None, "lease_until": None}
    move(connection, changes, [lead.id for lead in low], "withdrawn", **free)
    detail = {"why": "score fell while it was claimed"}
    write_audit(
        connection, [AuditEntry(now, lead.id, lead.subject, lead.harm, "withdrawn", _LEASES, detail) for lead in low]
    )
    gone = {lead.id for lead in low} | closed.keys()
    move(connection, changes, [lead.id for lead in claimed if lead.id not in gone], "open", **free)
    for id_, standing in closed.items():
        close_decided(connection, changes, id_, standing, now)


def _own(connection: Connection, id_: str, actor: Actor, queue: QueuePolicy, now: Micros) -> Lead:
    lead = get_lead(connection, id_, queue=queue, now=now, lock=True)
    if lead.claimed_by != actor.name:
        raise _not_own(connection, lead, actor, now)
    return lead


def _not_own(connection: Connection, lead: Lead, actor: Actor, now: Micros) -> Conflict:
    ended = reviews.ran_out(connection, lead.id, actor.name, now)
    if ended is None:
        return NotClaimed(
            f"This reviewer has not claimed the lead; its state is {lead.state}.",
            remedy="Only the reviewer who claimed a lead can release it or extend its lease, and only while it lasts.",
        )
    return LeaseExpired(
        f"This reviewer's lease ran out at {clock.to_text(ended)}; the lead's state is {lead.state}.",
        remedy="Claim leads again. While the lead is open, you can still decide it with the `reviewId` or the "
        "`contentVersion` of the claim.",
    )


def _lease_until(queue: QueuePolicy, now: Micros) -> Micros:
    return now + round(queue.lease_minutes * clock.MINUTE)
