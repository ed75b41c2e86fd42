"""The queue of leads: listing and claiming them.

    open ──claim──► claimed ──decide──► decided │ escalated
     ▲  ◄──release or lease expires───┘
     └──► withdrawn   a new score was below the review tier while the lead was open; a higher score reopens it

New scores don't change leads that are decided or escalated, unless there is something new to judge: see
`serving.queue.reopening`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Annotated, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.engine import lock_name
from leads.db.tables import leads
from leads.errors import Conflict, InvalidInput
from leads.events import Instant
from leads.policies import QueuePolicy
from serving.queue import leases, reviews
from serving.queue.leads_table import Actor, Lead, LeadState, effective_state, priority, read_lead, select_leads
from serving.queue.leases import Claimed


class Page(NamedTuple):
    """Leads, highest priority first, and the cursor of the next page; None after the last page."""

    leads: list[Lead]
    next_cursor: str | None


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The end of a page. It contains the time of the first page, because priorities change over time."""

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
    """List leads, highest priority first. Following the cursor neither repeats nor skips unchanged leads.

    Args:
        harms: only leads of these harms; None for all.
        state: only leads in this state; None for all.

    Raises:
        InvalidInput: the cursor is invalid.
    """
    after = _read_cursor(cursor) if cursor else None
    at = after.at if after else now
    rank = priority(queue, at)
    query = select_leads(queue, at).order_by(rank.desc(), leads.c.id).limit(limit + 1)
    if harms is not None:
        query = query.where(leads.c.harm.in_(sorted(harms)))
    if state is not None:
        # Also filters by the stored state, so that its index is used.
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
    actor: Actor,
    queue: QueuePolicy,
    now: Micros,
    harms: Collection[str] | None = None,
) -> list[Claimed]:
    """Claim the `n` open leads with the highest priority for a reviewer; two reviewers never get the same lead.

    A reviewer holds at most `max_claimed` leads, so a claim may return fewer than `n`. On SQLite, the caller's
    transaction is the only one that writes. On PostgreSQL, rows locked by another claim are skipped.

    Raises:
        Conflict: the reviewer holds `max_claimed` leads already.
    """
    lock_name(connection, f"reviewer {actor.name}")
    leases.expire(connection, queue=queue, now=now)
    free = queue.max_claimed - reviews.count_held(connection, actor.name, now)
    if free <= 0:
        raise Conflict(
            f"This reviewer holds {queue.max_claimed} leads already, the most that one reviewer may hold.",
            field="/reviewer",
            remedy="Decide or release some. GET /v1/reviews lists them.",
        )
    query = (
        select_leads(queue, now)
        .where(leads.c.state == "open")
        .order_by(priority(queue, now).desc(), leads.c.id)
        .limit(min(n, free))
        .with_for_update(skip_locked=True)
    )
    if harms is not None:
        query = query.where(leads.c.harm.in_(sorted(harms)))
    found = [read_lead(row) for row in connection.execute(query)]
    return leases.start(connection, found, actor, queue=queue, now=now)


def _write_cursor(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _read_cursor(text: str) -> _Cursor:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=_Cursor)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidInput(
            "Not a valid cursor.", field="/cursor", remedy="Use `nextCursor` of the previous page, unchanged."
        ) from error
