"""Kept retreats of canaries: serving writes them, every serving process follows them, a new trial clears them."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.tables import canary_retreats


class Retreat(NamedTuple):
    """Since `at` (µs) the version must not answer as a canary any more; `host` saw why."""

    at: Micros
    harm: str
    version: str
    why: str
    host: str


def record(connection: Connection, retreat: Retreat) -> None:
    """Keep a retreat."""
    connection.execute(canary_retreats.insert().values(**retreat._asdict()))


def standing(connection: Connection) -> dict[tuple[str, str], Retreat]:
    """The retreats that hold, by harm and version: the first since the version's trial began."""
    columns = [canary_retreats.c[name] for name in Retreat._fields]
    query = sa.select(*columns).where(canary_retreats.c.cleared_at.is_(None)).order_by(canary_retreats.c.seq.desc())
    found = [Retreat(*row) for row in connection.execute(query)]
    return {(one.harm, one.version): one for one in found}


def clear(connection: Connection, harm: str, version: str, at: Micros) -> bool:
    """Let a version try again; returns whether a retreat of it stood. The rows stay."""
    of_it = (canary_retreats.c.harm == harm, canary_retreats.c.version == version)
    change = sa.update(canary_retreats).where(*of_it, canary_retreats.c.cleared_at.is_(None)).values(cleared_at=at)
    return connection.execute(change).rowcount > 0
