"""How far each named reader of the event log has come."""

from __future__ import annotations

import re
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.db.tables import cursors

_SCORED = re.compile(r"scored(?:-(\d+)of(\d+))?")


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


def begin_rebuild(connection: Connection, partitions: int) -> int:
    """Prepare for feature rows that are computed again, perhaps by another number of partitions.

    The new partitions continue to score where the previous ones were, so that no old event is scored again. Returns
    that offset.
    """
    before = _scored_by_partitions(connection)
    reached = max((min(row.get(i, 0) for i in range(count)) for count, row in before.items()), default=0)
    for count, row in before.items():
        if count != partitions:
            names = [scored_name(i, count) for i in row]
            connection.execute(sa.delete(cursors).where(cursors.c.name.in_(names)))
    for i in range(partitions):
        start = max(reached, before.get(partitions, {}).get(i, 0))
        move(connection, scored_name(i, partitions), start)
        move(connection, rebuild_name(i, partitions), start)
    return reached


def rebuild_name(partition: int, partitions: int) -> str:
    """The name of the cursor that says up to which event a partition's rows are being computed again; 0 if not."""
    return f"rebuild-{partition}of{partitions}"


def rebuilding(connection: Connection, partitions: int) -> bool:
    """Whether some rows are being computed again, so that features are not what they were when they were served."""
    return any(position(connection, rebuild_name(i, partitions)) for i in range(partitions))


def _scored_by_partitions(connection: Connection) -> Mapping[int, Mapping[int, int]]:
    """What has been scored, by number of partitions and partition."""
    found: dict[int, dict[int, int]] = {}
    for name, offset in connection.execute(sa.select(cursors.c.name, cursors.c.offset)):
        match = _SCORED.fullmatch(name)
        if match:
            partition, partitions = (int(match[1]), int(match[2])) if match[1] else (0, 1)
            found.setdefault(partitions, {})[partition] = offset
    return found
