"""Keeps `item_versions`, the order of each item's versions, complete as events are appended.

An append adds its own items. Events that an older release appended, and those from before the table existed, are
missing until they are filled in: `log_head.item_versions_to` says how far the table is complete. Each append fills in a
limited number of them, and `leads.db.content.filling` all of them. Until then, readers look them up in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.tables import NOT_A_PLAY, events, item_versions
from leads.events import ItemCreated, LoggedEvent
from leads.rules import happened_at

# How many events an append fills in besides as many as it adds.
_PER_APPEND = 1_000


class _Timed(msgspec.Struct):
    occurred_at: int


_decode = msgspec.json.Decoder(_Timed).decode


def keep_up(connection: Connection, appended: Sequence[LoggedEvent], *, before: int, complete_to: int) -> int:
    """Add the versions in new events; returns the offset up to which the table is complete then.

    The caller has locked the log's head and written the events.

    Args:
        before: the log's last offset before these events.
        complete_to: the offset up to which the table was complete.
    """
    last = appended[-1].offset
    if complete_to < before:
        return fill(connection, complete_to, last, limit=len(appended) + _PER_APPEND)
    _insert(
        connection,
        [
            _row(*logged.event.body.subject.subject, logged.offset, logged.event.occurred_at, logged.visible_at)
            for logged in appended
            if isinstance(logged.event.body, ItemCreated)
        ],
    )
    return last


def fill(connection: Connection, after: int, last: int, *, limit: int) -> int:
    """Add up to `limit` versions in events after an offset, in the order of the log.

    Returns the offset up to which the table is complete then: `last`, the log's last, if none is missing any more. The
    caller has locked the log's head, and stores the result there.
    """
    query = (
        sa.select(events.c.offset, events.c.visible_at, events.c.type_id, events.c.subject_id, events.c.raw)
        .where(events.c.kind == "item_created", NOT_A_PLAY, events.c.offset > after)
        .order_by(events.c.offset)
        .limit(limit)
    )
    found = connection.execute(query).all()
    _insert(
        connection,
        [_row(x.type_id, x.subject_id, x.offset, _decode(x.raw).occurred_at, x.visible_at) for x in found],
    )
    return int(found[-1].offset) if len(found) == limit else last


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(item_versions), rows)


def _row(type_id: str, subject_id: str, offset: int, occurred_at: Micros, visible_at: Micros) -> dict[str, Any]:
    at = happened_at(occurred_at, visible_at)
    return {"type_id": type_id, "subject_id": subject_id, "at": at, "offset": offset}
