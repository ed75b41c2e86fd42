"""Until when predictions have been served. An event that arrives later was not known to any of them.

The worker dates a prediction by the event that it follows, so the log itself says how far the worker has come. The API
dates a prediction by the clock, and leaves its mark here.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.cursors import position
from leads.db.engine import insert_new
from leads.db.tables import cursors

# Kept among the readers' positions; its value is a time.
_NAME = "served until"


def served_until(connection: Connection) -> Micros:
    """No prediction that the API has served is dated later, in µs; 0 if it has served none."""
    return position(connection, _NAME)


def note_served(connection: Connection, until: Micros) -> None:
    """Record that predictions dated up to `until` were served. An earlier time than the recorded one has no effect."""
    later = sa.update(cursors).where(cursors.c.name == _NAME, cursors.c.offset < until).values(offset=until)
    if not insert_new(connection, cursors, [{"name": _NAME, "offset": until}]):
        connection.execute(later)
