"""Finds the place in the event log that belongs to a time: `visible_at` rises with the offset, and has no index."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.event_log import head
from leads.db.tables import events


def offset_before(connection: Connection, at: Micros) -> int:
    """The offset of the last event that became visible before `at` (µs); 0 if there is none. Reads about 30 rows."""
    before, after = 0, head(connection).offset + 1
    while after - before > 1:
        middle = (before + after) // 2
        query = sa.select(events.c.offset, events.c.visible_at).where(events.c.offset >= middle)
        row = connection.execute(query.order_by(events.c.offset).limit(1)).first()
        if row is None or row.visible_at >= at:
            after = middle
        else:
            before = row.offset
    return before
