"""Stored retreats of canaries: serving records them, every serving process obeys them, a new trial clears them."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.tables import canary_retreats


class Retreat(NamedTuple):
    """From `at` (µs) on, the version must not serve as canary; `host` is where the reason was observed."""

    at: Micros
    harm: str
    version: str
    why: str
    host: str


def record(connection: Connection, retreat: Retreat) -> None:
    """Store a retreat."""
    connection.execute(canary_retreats.insert().values(**retreat._asdict()))


def standing(connection: Connection) -> dict[tuple[str, str], Retreat]:
    """The retreats in force by (harm, version): the first since the version's trial began."""
    columns = [canary_retreats.c[name] for name in Retreat._fields]
    query = sa.select(*columns).where(canary_retreats.c.cleared_at.is_(None)).order_by(canary_retreats.c.seq.desc())
    found = [Retreat(*row) for row in connection.execute(query)]
    return {(retreat.harm, retreat.version): retreat for retreat in found}


def clear(connection: Connection, harm: str, version: str, at: Micros) -> bool:
    """Allow a version to be canary again; returns whether it had a retreat in force. The rows are kept."""
    its_rows = (canary_retreats.c.harm == harm, canary_retreats.c.version == version)
    change = sa.update(canary_retreats).where(*its_rows, canary_retreats.c.cleared_at.is_(None)).values(cleared_at=at)
    return bool(connection.execute(change.returning(canary_retreats.c.seq)).all())
