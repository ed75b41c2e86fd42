"""The order of the queue: a rank that is stored with each lead, so that an index holds the leads in order.

    rank = ln(score × severity × exposure) − created_at / τ + shift,     τ = aging_hours / ln 2

A lead's weight, e^(rank + now/τ), doubles every `aging_hours`, and the order of two leads never changes with time. Only
a new score changes a rank.

The table `rank_basis` holds the `aging_hours` that ranks are computed with, whatever the policy file of a process says:
all ranks must be comparable. When `aging_hours` in the worker's policy changes, `adopt` changes the basis, and the
worker ranks all leads again in batches (`rank_again`). Meanwhile old and new ranks lie side by side in the index. The
shift makes them comparable: it is chosen so that both mean the lead's priority at the time of the change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.tables import STALE_RANK, leads, rank_basis

# A weight of 0 has no logarithm. No real weight comes near this one: such leads are last of those as old as they are.
LEAST_WEIGHT = 1e-12
# Above this priority, an infinite range of weights has to fit below the largest number that a double and JSON can hold.
_EXACT, _MOST = 1e300, 1.7e308
_BATCH = 500
_COLUMNS = (leads.c.id, leads.c.base_priority, leads.c.created_at, leads.c.scored_at)


class Basis(NamedTuple):
    """What ranks are computed with. Ranks on different bases agree about leads created when the basis changed."""

    aging_hours: float
    shift: float = 0.0


def rank_of(weight: float, created_at: Micros, basis: Basis) -> float:
    """The rank of a lead whose weight was `weight` (score × severity × exposure) at `created_at`.

    >>> day = rank_of(2.0, 0, Basis(24.0)) - rank_of(1.0, 24 * clock.HOUR, Basis(24.0))
    >>> round(day / math.log(2), 9)
    2.0
    """
    return math.log(max(weight, LEAST_WEIGHT)) - created_at / tau(basis.aging_hours) + basis.shift


def priority_of(weight: float, created_at: Micros, aging_hours: float, now: Micros) -> float:
    """The weight at `now`: `weight` × 2^(waited / `aging_hours`).

    It is exact up to 1e300, after about 1,000 doublings. From there on it grows more and more slowly and stays below
    1.7e308, so that the priorities of leads remain finite and in the order of their ranks.

    >>> priority_of(1.5, 0, 24.0, 48 * clock.HOUR)
    6.0
    """
    if weight <= 0:
        return 0.0
    doublings = (now - created_at) / (aging_hours * clock.HOUR)
    power, exact = doublings * math.log(2) + math.log(weight), math.log(_EXACT)
    if power > exact:
        return _EXACT * math.exp(math.log(_MOST / _EXACT) * (power - exact) / power)
    # In two steps, because 2^1024 is too large for a number even if the weight is tiny.
    return float(weight * 2.0 ** min(doublings, 1_000) * 2.0 ** max(doublings - 1_000, 0))


def tau(aging_hours: float) -> float:
    """The time in µs in which a weight grows by the factor e."""
    return aging_hours * clock.HOUR / math.log(2)


def current(connection: Connection, *, lock: bool = False) -> Basis:
    """The basis of the stored ranks.

    Args:
        lock: keep the basis from changing until the transaction ends. Do this before locking leads.
    """
    query = sa.select(rank_basis.c.aging_hours, rank_basis.c.shift)
    row = connection.execute(query.with_for_update(read=True) if lock else query).one()
    return Basis(row.aging_hours, row.shift)


def adopt(connection: Connection, aging_hours: float, now: Micros) -> bool:
    """Rank new scores with this `aging_hours`. Returns whether it was another one; then `rank_again` must follow."""
    query = sa.select(rank_basis.c.aging_hours, rank_basis.c.shift).with_for_update()
    before = Basis(*connection.execute(query).one())
    if before.aging_hours == aging_hours:
        return False
    shift = before.shift + now / tau(aging_hours) - now / tau(before.aging_hours)
    connection.execute(sa.update(rank_basis).values(aging_hours=aging_hours, shift=shift, ranked_to=""))
    return True


def ranks_again(connection: Connection) -> bool:
    """Whether leads are left to rank after a change of the basis; takes no lock."""
    return connection.execute(sa.select(rank_basis.c.ranked_to)).scalar_one() is not None


def rank_again(connection: Connection) -> None:
    """Rank the next batch of leads on the current basis, while `ranks_again`.

    How far it has come is stored in the same transaction, so a killed worker continues where it was.
    """
    basis_row = connection.execute(sa.select(rank_basis).with_for_update()).one()
    if basis_row.ranked_to is None:
        return
    after = leads.c.id > basis_row.ranked_to
    query = sa.select(*_COLUMNS).where(after).order_by(leads.c.id).limit(_BATCH).with_for_update()
    rows = connection.execute(query).all()
    _rank(connection, rows, Basis(basis_row.aging_hours, basis_row.shift))
    done = len(rows) < _BATCH
    connection.execute(sa.update(rank_basis).values(ranked_to=None if done else rows[-1].id))


def any_stale(connection: Connection) -> bool:
    """Whether a lead has no rank, or one for an older score, because an older release wrote it; takes no lock."""
    return connection.execute(_stale(leads.c.id).limit(1)).first() is not None


def rank_stale(connection: Connection) -> None:
    """Rank one batch of the leads that an older release opened or scored."""
    basis = current(connection, lock=True)
    # Leads that are locked come next time: other writers lock in another order.
    query = _stale(*_COLUMNS).limit(_BATCH).with_for_update(skip_locked=True)
    rows = connection.execute(query).all()
    _rank(connection, rows, basis)


def _stale(*columns: sa.Column[Any]) -> sa.Select[Any]:
    return sa.select(*columns).where(sa.text(STALE_RANK)).order_by(leads.c.ranked_for, leads.c.id)


def _rank(connection: Connection, rows: Sequence[Any], basis: Basis) -> None:
    if not rows:
        return
    ranked = sa.update(leads).where(leads.c.id == sa.bindparam("lead_id"))
    values = [
        {
            "lead_id": row.id,
            "new_rank": rank_of(row.base_priority, row.created_at, basis),
            "new_ranked_for": row.scored_at,
        }
        for row in rows
    ]
    connection.execute(ranked.values(rank=sa.bindparam("new_rank"), ranked_for=sa.bindparam("new_ranked_for")), values)
