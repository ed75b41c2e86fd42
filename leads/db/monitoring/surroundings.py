"""What is stored about the time of an alert: leads and reviews, canaries that retreated, generations of features."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.progress.feature_generations import feature_generations
from leads.db.tables import canary_retreats, leads, reviews

# Repeated literally, so that the partial index serves it.
_OPEN = sa.text("state = 'open'")


class Counted(NamedTuple):
    """Leads that were opened since a time and are open, and reviews since then that ended with a verdict."""

    open: int
    decided: int


def count_since(connection: Connection, harm: str, since: Micros, *, type_id: str | None = None) -> Counted:
    """Count leads and decisions.

    Args:
        harm: empty for all harms.
        type_id: only leads of subjects of this type; decisions are counted for all types.
    """
    opened = sa.select(sa.func.count()).select_from(leads).where(_OPEN, leads.c.created_at >= since)
    decided = sa.select(sa.func.count()).select_from(reviews)
    decided = decided.where(reviews.c.ended_at >= since, reviews.c.state == "decided")
    if harm:
        opened, decided = opened.where(leads.c.harm == harm), decided.where(reviews.c.harm == harm)
    if type_id is not None:
        opened = opened.where(leads.c.type_id == type_id)
    return Counted(connection.execute(opened).scalar() or 0, connection.execute(decided).scalar() or 0)


class CanaryRetreat(NamedTuple):
    """A canary that went out of service."""

    at: Micros
    harm: str
    version: str
    why: str


def retreats(connection: Connection, harm: str, since: Micros, until: Micros) -> list[CanaryRetreat]:
    """The canaries of a harm that retreated in since ≤ t ≤ until."""
    columns = [canary_retreats.c[name] for name in CanaryRetreat._fields]
    within = canary_retreats.c.at.between(since, until)
    query = sa.select(*columns).where(canary_retreats.c.harm == harm, within)
    return [CanaryRetreat(*row) for row in connection.execute(query)]


class GenerationMove(NamedTuple):
    """A generation of features that went online or was retired."""

    at: Micros
    number: int
    live: bool


def generation_moves(connection: Connection, since: Micros, until: Micros) -> list[GenerationMove]:
    """The generations of features that went online or were retired in since ≤ t ≤ until."""
    found = []
    for column, live in ((feature_generations.c.live_at, True), (feature_generations.c.retired_at, False)):
        query = sa.select(column, feature_generations.c.number).where(column.between(since, until))
        found += [GenerationMove(at, number, live) for at, number in connection.execute(query)]
    return found
