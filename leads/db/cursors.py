"""How far each named reader of the event log has come."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.db.tables import cursors


def position(connection: Connection, name: str) -> int:
    """The offset that the reader `name` has reached; 0 if it never read."""
    return connection.execute(sa.select(cursors.c.offset).where(cursors.c.name == name)).scalar() or 0


def scored_name(partition: int, partitions: int) -> str:
    """The name of the cursor that records what a partition's worker has scored."""
    return "scored" if partitions == 1 else f"scored-{partition}of{partitions}"


def scored(connection: Connection, partitions: int) -> int:
    """The offset up to which every partition's worker has folded and scored all events."""
    return min(position(connection, scored_name(i, partitions)) for i in range(partitions))


def move(connection: Connection, name: str, offset: int) -> None:
    """Record that the reader `name` has processed everything up to `offset`."""
    move_ = sa.update(cursors).where(cursors.c.name == name).values(offset=offset).returning(cursors.c.name)
    if connection.execute(move_).first() is None:
        connection.execute(sa.insert(cursors).values(name=name, offset=offset))
