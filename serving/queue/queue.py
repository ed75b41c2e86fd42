"""The queue of leads: in which order they are listed, and who holds what.

    open ──claim──► claimed ──decide──► decided │ escalated
     ▲  ◄──release or lease runs out──┘
     └──► withdrawn   a new score fell below the review tier while nobody held the lead; a later one opens it again

A lead that was decided or escalated stays as it was when that happened: a new score neither reopens nor changes it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Annotated, Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.tables import leads
from leads.errors import Conflict, InvalidInput
from leads.events import Instant
from leads.policies import QueuePolicy
from serving.queue.leads_table import (
    AuditEntry,
    Lead,
    LeadState,
    effective_state,
    get_lead,
    priority,
    read_lead,
    select_leads,
    write_audit,
)
from serving.queue.offers import Offer, Offered, offer

__all__ = ["Lead", "Offer", "Offered", "Page", "claim", "list_leads", "offer", "release"]


class Page(NamedTuple):
    """Leads by falling priority, and where the next page begins; None after the last."""

    leads: list[Lead]
    next_cursor: str | None


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended. The instant is kept, because priorities move with time."""

    at: Instant
    priority: float
    id: Annotated[str, msgspec.Meta(pattern=r"^l_[0-9a-f]{24}$(?!\n)")]


def list_leads(
    connection: Connection,
    *,
    queue: QueuePolicy,
    now: Micros,
    harms: Collection[str] | None = None,
    state: LeadState | None = "open",
    type_id: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """Leads by falling priority. Following the cursor neither repeats nor skips a lead that stays as it is.

    Args:
        harms: only these; None: all.
        state: only leads in this state; None: all.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    after = _read_cursor(cursor) if cursor else None
    at = after.at if after else now
    rank = priority(queue, at)
    query = select_leads(queue, at).order_by(rank.desc(), leads.c.id).limit(limit + 1)
    if harms is not None:
        query = query.where(leads.c.harm.in_(sorted(harms)))
    if state is not None:
        # Spelt out beside the effective state, so that the index on the stored one is used.
        stored = ("open", "claimed") if state == "open" else (state,)
        query = query.where(leads.c.state.in_(stored), effective_state(at) == state)
    if type_id is not None:
        query = query.where(leads.c.type_id == type_id)
    if after:
        query = query.where(
            sa.or_(rank < after.priority, sa.and_(rank == after.priority, leads.c.id > after.id)),
        )
    found = [read_lead(row) for row in connection.execute(query)]
    page, more = found[:limit], len(found) > limit
    return Page(page, _write_cursor(_Cursor(at, page[-1].priority, page[-1].id)) if more else None)


def claim(
    connection: Connection,
    *,
    n: int,
    reviewer: str,
    queue: QueuePolicy,
    now: Micros,
    harms: Collection[str] | None = None,
) -> list[Lead]:
    """Lease the best `n` open leads to `reviewer`; two reviewers never hold the same one.

    On SQLite the caller's transaction is the only writing one; on PostgreSQL rows that another claim is taking are
    passed over.
    """
    query = (
        select_leads(queue, now)
        .where(leads.c.state.in_(("open", "claimed")), effective_state(now) == "open")
        .order_by(priority(queue, now).desc(), leads.c.id)
        .limit(n)
        .with_for_update(skip_locked=True)
    )
    if harms is not None:
        query = query.where(leads.c.harm.in_(sorted(harms)))
    free = [read_lead(row) for row in connection.execute(query)]
    lease_until = now + round(queue.lease_minutes * clock.MINUTE)
    _set(connection, [lead.id for lead in free], state="claimed", claimed_by=reviewer, lease_until=lease_until)
    write_audit(
        connection,
        [
            AuditEntry(now, lead.id, lead.subject, lead.harm, "claimed", reviewer, {"lease_until": lease_until})
            for lead in free
        ],
    )
    return [msgspec.structs.replace(x, state="claimed", claimed_by=reviewer, lease_until=lease_until) for x in free]


def release(connection: Connection, id_: str, *, reviewer: str, queue: QueuePolicy, now: Micros) -> Lead:
    """Give a claimed lead back.

    Raises:
        NotFound: there is no such lead.
        Conflict: `reviewer` doesn't hold it.
    """
    lead = get_lead(connection, id_, queue=queue, now=now, lock=True)
    if lead.claimed_by != reviewer:
        raise Conflict(
            f"The lead is {lead.state} and not held by this reviewer.", remedy="Only its holder releases it."
        )
    _set(connection, [lead.id], state="open", claimed_by=None, lease_until=None)
    write_audit(connection, [AuditEntry(now, lead.id, lead.subject, lead.harm, "released", reviewer, {})])
    return msgspec.structs.replace(lead, state="open", claimed_by=None, lease_until=None)


def _set(connection: Connection, ids: list[str], **values: Any) -> None:
    connection.execute(sa.update(leads).where(leads.c.id.in_(ids)).values(**values))


def _write_cursor(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _read_cursor(text: str) -> _Cursor:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=_Cursor)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(
            "This is not a cursor.", field="/cursor", remedy="Use `nextCursor` of the answer before, unchanged."
        ) from error
