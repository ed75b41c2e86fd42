"""Finding leads in the order of the queue, highest rank first, at a cost that doesn't grow with the queue.

An index holds the leads of each harm and state in the order of their ranks. So the top leads of several harms or states
are the top of each, merged. Ids decide between equal ranks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import islice, product
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.tables import leads
from leads_client.fields import LeadState
from serving.queue.leads_table import STATES

# SQLite allows 500 selects in one statement.
_PER_STATEMENT = 100


class Position(NamedTuple):
    """A place in the order: what follows has a lower rank, or the same rank and a lower id."""

    rank: float
    id: str


TOP = Position(1.7e308, "~")


def ranked(
    connection: Connection,
    *,
    harms: Collection[str] | None,
    state: LeadState | None,
    type_id: str | None,
    after: Position = TOP,
    limit: int,
    expired_at: Micros | None = None,
) -> list[Position]:
    """The next leads after a position. Leads that have no rank yet are left out.

    Args:
        harms, state, type_id: None for all.
        expired_at: leads whose lease has run out by then count as open, although they are stored as claimed.
    """
    states = STATES if state is None else (state,)
    names = _all_harms(connection) if harms is None else sorted(harms)
    pairs = list(product(names, states))
    unexpired = expired_at if state == "claimed" else None
    found: list[Any] = []
    for start in range(0, len(pairs), _PER_STATEMENT):
        part = pairs[start : start + _PER_STATEMENT]
        found += connection.execute(
            _statement(len(part), type_id is not None, unexpired is not None),
            {f"harm{i}": harm for i, (harm, _) in enumerate(part)}
            | {f"state{i}": state for i, (_, state) in enumerate(part)}
            | {"rank": after.rank, "id": after.id, "limit": limit}
            | ({} if type_id is None else {"type_id": type_id})
            | ({} if unexpired is None else {"now": unexpired}),
        ).all()
    if state == "open" and expired_at is not None:
        found += _expired(connection, names, type_id, after, limit, expired_at)
    return [Position(row.rank, row.id) for row in islice(_merged(found), limit)]


@lru_cache(maxsize=256)
def _statement(pairs: int, typed: bool, leased: bool) -> sa.TextClause:
    """The top of each pair of harm and state, merged."""
    more = (" AND type_id = :type_id" if typed else "") + (" AND lease_until > :now" if leased else "")
    tops = (
        "SELECT * FROM (SELECT rank, id FROM leads "
        f"WHERE harm = :harm{i} AND state = :state{i}{more} AND (rank, id) < (:rank, :id) "
        f"ORDER BY rank DESC, id DESC LIMIT :limit) AS top{i}"
        for i in range(pairs)
    )
    return sa.text(f"{' UNION ALL '.join(tops)} ORDER BY 1 DESC, 2 DESC LIMIT :limit")


def _expired(
    connection: Connection, harms: Sequence[str], type_id: str | None, after: Position, limit: int, now: Micros
) -> Sequence[Any]:
    """Leads whose lease has run out. There are few: the worker opens them within about a second."""
    below = sa.tuple_(leads.c.rank, leads.c.id) < sa.tuple_(sa.literal(after.rank), sa.literal(after.id))
    query = (
        sa.select(leads.c.rank, leads.c.id)
        .where(sa.text("leads.state = 'claimed'"), leads.c.lease_until <= now, leads.c.harm.in_(harms), below)
        .order_by(leads.c.rank.desc(), leads.c.id.desc())
        .limit(limit)
    )
    return connection.execute(query if type_id is None else query.where(leads.c.type_id == type_id)).all()


def _merged(rows: Sequence[Any]) -> list[Any]:
    return sorted(rows, key=attrgetter("rank", "id"), reverse=True)


def _all_harms(connection: Connection) -> list[str]:
    """The harms that have leads, found by jumping from one to the next in the index."""
    return list(connection.execute(_JUMPS).scalars())


_JUMPS = sa.text(
    "WITH RECURSIVE jumps(harm) AS (SELECT min(harm) FROM leads UNION ALL "
    "SELECT (SELECT min(harm) FROM leads WHERE harm > jumps.harm) FROM jumps WHERE jumps.harm IS NOT NULL) "
    "SELECT harm FROM jumps WHERE harm IS NOT NULL"
)
