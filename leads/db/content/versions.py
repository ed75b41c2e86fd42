"""Decodes stored `item_created` events, and finds the version that a subject holds among several."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from leads.clock import Micros
from leads.db.content.held import HeldEvent
from leads.events import JUDGED_BEFORE, FieldValue, ItemCreated, Subject, SubjectRef
from leads.rules import happened_at

KIND = "item_created"


class _Ref(msgspec.Struct):
    type_id: str
    id: str


class _Body(msgspec.Struct, tag=KIND):
    subject: _Ref
    account_id: str | None = None
    parent: _Ref | None = None
    text: str = ""
    duration_s: float | None = None
    fields: dict[str, FieldValue] = {}
    judged: tuple[str, ...] = JUDGED_BEFORE


class StoredEvent(msgspec.Struct):
    """A stored event without constraints: it was validated when it was appended, and validating is half of the cost."""

    occurred_at: int
    body: _Body


# Offset, visible_at, event.
Version = tuple[int, Micros, StoredEvent]
decode = msgspec.json.Decoder(StoredEvent).decode


def newest_of(found: Iterable[HeldEvent]) -> dict[tuple[int, Subject], Version]:
    """What each subject holds; the rule of `leads.content.newest`, without building more than one version of each."""
    best: dict[tuple[int, Subject], Version] = {}
    for before, offset, visible_at, raw in found:
        stored = decode(raw)
        ref = stored.body.subject
        key = before, Subject(ref.type_id, ref.id)
        if key not in best or _order(best[key]) < _order((offset, visible_at, stored)):
            best[key] = offset, visible_at, stored
    return best


def _order(version: Version) -> tuple[Micros, int]:
    offset, visible_at, stored = version
    return happened_at(stored.occurred_at, visible_at), offset


def item_of(body: _Body) -> ItemCreated:
    """The event's body."""
    subject, parent = body.subject, body.parent
    return ItemCreated(
        SubjectRef(subject.type_id, subject.id),
        body.account_id,
        SubjectRef(parent.type_id, parent.id) if parent else None,
        body.text,
        body.duration_s,
        body.fields,
        body.judged,
    )
