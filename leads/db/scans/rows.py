"""Reads long parts of the event log in batches, each a range of offsets in a transaction of its own.

Between two batches no transaction is open: one that stays open for minutes keeps SQLite from shrinking its write-ahead
log, and PostgreSQL from removing old rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.clock import Micros
from leads.content import judged_text
from leads.db.engine import reading
from leads.db.tables import NOT_A_PLAY, events
from leads.events import JUDGED_BEFORE, FieldValue, Subject
from leads.rules import touched

Kind = Literal["item_created", "played", "signal_received", "decision_made", "happened"]
TOUCHING: tuple[Kind, ...] = ("item_created", "played", "signal_received", "happened")
# Offsets in a range: about 3 MB of events.
_BATCH = 10_000


class LogRow(NamedTuple):
    """A row of the event log; `raw` is the event as JSON."""

    offset: int
    visible_at: Micros
    kind: Kind
    type_id: str
    subject_id: str
    raw: bytes

    @property
    def subject(self) -> Subject:
        return Subject(self.type_id, self.subject_id)


class _Body(msgspec.Struct):
    account_id: str | None = None
    text: str = ""
    fields: dict[str, FieldValue] = {}
    judged: tuple[str, ...] = JUDGED_BEFORE


class _Stored(msgspec.Struct):
    """The parts of an event that scans look at. It was validated when it was appended."""

    body: _Body


_decode = msgspec.json.Decoder(_Stored).decode


def scan(
    engine: Engine, kinds: Collection[Kind], *, after: int = 0, up_to: int, plays_of: Collection[str] | None = None
) -> Iterator[LogRow]:
    """The events of these kinds with after < offset ≤ up_to, in order.

    Args:
        plays_of: only plays of items of these types; default: all plays.
    """
    conditions: list[sa.ColumnElement[bool] | sa.TextClause] = [events.c.kind.in_(sorted(kinds))]
    if "played" not in kinds:
        conditions.append(NOT_A_PLAY)
    elif plays_of is not None:
        conditions.append(sa.or_(events.c.kind != "played", events.c.type_id.in_(sorted(plays_of))))
    for first in range(after, up_to, _BATCH):
        yield from _range(engine, conditions, first, min(first + _BATCH, up_to))


def touched_by_row(row: LogRow) -> tuple[Subject, ...]:
    """`leads.rules.touched_by` of a row's event."""
    who = _decode(row.raw).body.account_id if row.kind in ("played", "happened") else None
    return touched(row.kind, row.subject, who)


def text_of(row: LogRow) -> str:
    """The judged text of an `item_created` event; empty if it has none."""
    return judged_text(_decode(row.raw).body)


def _range(
    engine: Engine, conditions: Sequence[sa.ColumnElement[bool] | sa.TextClause], after: int, up_to: int
) -> list[LogRow]:
    query = (
        sa.select(*(events.c[name] for name in LogRow._fields))
        .where(events.c.offset > after, events.c.offset <= up_to, *conditions)
        .order_by(events.c.offset)
    )
    with reading(engine) as connection:
        return [LogRow._make(row) for row in connection.execute(query)]
