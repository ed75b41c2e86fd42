"""The queue of leads: listing and claiming them.

    open ──claim──► claimed ──decide──► decided │ escalated
     ▲  ◄──release or lease expires───┘
     └──► withdrawn   a new score was below the review tier while the lead was open; a higher score reopens it

New scores don't change leads that are decided or escalated, unless there is something new to judge: see
`serving.queue.reopening`. Leads are in the order of their ranks, in every state: see `serving.queue.ranks`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from leads import clock
from leads.api import page_cursors
from leads.clock import Micros
from leads.db.engine import lock_name
from leads.db.tables import leads
from leads.errors import Conflict, InvalidInput
from leads.policies import QueuePolicy
from leads_client.fields import LeadId, LeadState
from serving.queue import leases, reviews
from serving.queue.leads_table import Actor, Lead, read_lead, select_leads
from serving.queue.leases import Claimed
from serving.queue.order import TOP, Position, ranked
from serving.queue.states import counting

# How many times more leads to look at when other claims have locked those found first, and the most at a time.
_WIDER, _MOST = 4, 1_000
# How long, and up to how many, leads that a reviewer released aren't offered to them first.
_PASSED_ON, _MOST_PASSED_ON = 10 * clock.MINUTE, 100
_FORMAT: Final = "r1"


class Page(NamedTuple):
    """Leads, highest priority first, and the cursor of the next page; None after the last page."""

    leads: list[Lead]
    next_cursor: str | None


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The end of a page: the next one has what is ranked lower now."""

    format: Literal["r1"]
    rank: float
    id: LeadId


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
    """List leads, highest priority first.

    The cursor is a place in the order of ranks. Following it neither repeats nor skips leads whose rank and state don't
    change. A lead that a new score ranks lower may appear once more, and one that it ranks higher may be skipped.
    Leads whose lease has run out count as open, whether or not the worker has opened them.

    Args:
        harms: only leads of these harms; None for all.
        state: only leads in this state; None for all.

    Raises:
        InvalidInput: the cursor is invalid.
    """
    after = _read_cursor(cursor) if cursor else TOP
    found = ranked(connection, harms=harms, state=state, type_id=type_id, after=after, limit=limit + 1, expired_at=now)
    page, more = found[:limit], len(found) > limit
    query = select_leads(now).where(leads.c.id.in_([place.id for place in page]))
    by_id = {row.id: read_lead(row, queue, now) for row in connection.execute(query)}
    return Page([by_id[place.id] for place in page if place.id in by_id], _write_cursor(page[-1]) if more else None)


def claim(
    connection: Connection,
    *,
    n: int,
    actor: Actor,
    queue: QueuePolicy,
    now: Micros,
    harms: Collection[str] | None = None,
    exclude: Collection[str] = (),
) -> list[Claimed]:
    """Claim the `n` open leads with the highest priority for a reviewer; two reviewers never get the same lead.

    A reviewer holds at most `max_claimed` leads, so a claim may return fewer than `n`. On SQLite, the caller's
    transaction is the only one that writes. On PostgreSQL, rows locked by another claim are skipped. Leads that the
    reviewer has just released come after all others: whoever passes on a lead wants to see another one.

    Args:
        exclude: ids of leads that aren't claimed.

    Raises:
        Conflict: the reviewer holds `max_claimed` leads already.
    """
    lock_name(connection, f"reviewer {actor.name}")
    free = queue.max_claimed - reviews.count_held(connection, actor.name, now)
    if free <= 0:
        raise Conflict(
            f"This reviewer holds {queue.max_claimed} leads already, the most that one reviewer may hold.",
            field="/reviewer",
            remedy="Decide or release some. GET /v1/reviews lists them.",
        )
    with counting(connection) as changes:
        leases.end_expired(connection, changes, queue=queue, now=now)
        rows = _lock_others(connection, min(n, free), harms, now, actor.name, frozenset(exclude))
        found = [read_lead(row, queue, now) for row in rows]
        return leases.start(connection, changes, found, actor, queue=queue, now=now)


def _lock_others(
    connection: Connection, n: int, harms: Collection[str] | None, now: Micros, reviewer: str, exclude: frozenset[str]
) -> list[Row[Any]]:
    """Lock the top `n` open leads, with those that the reviewer has just released only if there are too few others."""
    recent = reviews.released_by(connection, reviewer, now - _PASSED_ON, limit=_MOST_PASSED_ON)
    released = frozenset(recent) - exclude
    locked = _lock_top(connection, n, harms, now, exclude | released)
    if released and len(locked) < n:
        again = exclude | {row.id for row in locked}
        locked += _lock_top(connection, n - len(locked), harms, now, again)
    return locked


def _lock_top(
    connection: Connection, n: int, harms: Collection[str] | None, now: Micros, exclude: frozenset[str]
) -> list[Row[Any]]:
    """Lock the `n` open leads with the highest rank that no other claim has locked, without those excluded.

    First finds leads, then locks those of them that are free: PostgreSQL takes no locks under UNION. If others were
    faster, it looks further down, so it returns fewer than `n` leads only if no more are free.
    """
    locked: list[Row[Any]] = []
    after, size = TOP, n + len(exclude)
    while len(locked) < n:
        found = ranked(connection, harms=harms, state="open", type_id=None, after=after, limit=size)
        if found:
            # The state may have changed since the leads were found. Looked up by id: the function keeps databases from
            # reading every open lead through an index of states.
            still_open = sa.func.coalesce(leads.c.state, "") == "open"
            free = select_leads(now).where(leads.c.id.in_([x.id for x in found if x.id not in exclude]), still_open)
            ordered = free.order_by(leads.c.rank.desc(), leads.c.id.desc()).limit(n - len(locked))
            locked += connection.execute(ordered.with_for_update(skip_locked=True)).all()
        if len(found) < size:
            break
        after, size = found[-1], min(size * _WIDER, _MOST)
    return locked


def _write_cursor(place: Position) -> str:
    return page_cursors.to_text(_Cursor(_FORMAT, place.rank, place.id))


def _read_cursor(text: str) -> Position:
    try:
        cursor = page_cursors.of_text(text, _Cursor)
    except InvalidInput as error:
        if not _is_old(text):
            raise
        raise InvalidInput(
            "This cursor is from an earlier release, which ordered leads differently.",
            field="/cursor",
            remedy="Start again without a cursor.",
        ) from error
    return Position(cursor.rank, cursor.id)


def _is_old(text: str) -> bool:
    """Whether this is a cursor of earlier releases: the time of the first page, a priority, and an id."""
    try:
        msgspec.json.decode(page_cursors.raw_of(text), type=tuple[int, float, str])
    except (ValueError, RecursionError):
        return False
    return True
