"""Completes `item_versions` for a log that was written by a release that didn't know the table."""

from __future__ import annotations

import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.db.content.upkeep import fill
from leads.db.event_log import lock_head
from leads.db.tables import log_head

_BATCH = 2_000
# Between two batches, so that appends that wait for the lock get it.
_PAUSE_S = 0.01


def missing(connection: Connection) -> int:
    """How many events at the end of the log the table doesn't cover yet."""
    query = sa.select(log_head.c.offset - log_head.c.item_versions_to)
    return connection.execute(query).scalar() or 0


def complete(engine: Engine, *, on_progress: Callable[[int], None] = lambda _: None) -> None:
    """Fill in every missing version, in short transactions. Stopped at any point, it continues there the next time.

    Args:
        on_progress: receives how many events have been covered.
    """
    covered = 0
    while True:
        with engine.begin() as connection:
            head = lock_head(connection)
            reached = fill(connection, head.item_versions_to, head.offset, limit=_BATCH)
            connection.execute(sa.update(log_head).values(item_versions_to=reached))
        covered += reached - head.item_versions_to
        on_progress(covered)
        if reached == head.offset:
            return
        time.sleep(_PAUSE_S)
