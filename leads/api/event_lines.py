"""One line of a file of events: an event as the log stores it, or an object of the API.

A line of the log has a `body`. Any other is an item, a signal, a play or a decision as the API takes them, told apart
by their fields or by `kind`. A file needs what the API can assign: `eventId`, so that it can be ingested again without
adding anything twice, and `occurredAt`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import msgspec
from msgspec import UNSET, Raw, UnsetType

from leads.api.declared import Declared
from leads.api.event_entries import API_FIELDS, Entry, body_of, ref_of
from leads.api.requests import instant, parse
from leads.clock import Micros
from leads.errors import InvalidInput
from leads.events import Body, DecisionMade, Event, Happened, ItemCreated, decode_event, decode_recorded
from leads_client.fields import DecidedBy, Id, Name, Prose, Reviewer, SignalKind, Verdict
from leads_client.schemas.base import In, Ref, Time
from leads_client.schemas.events import EventIn, ItemIn, PlayIn, SignalIn


class Line(NamedTuple):
    """An event, when it became visible if the line says so, and whether the line is an object of the API."""

    event: Event
    visible_at: Micros | None
    of_api: bool

    def pointer(self, field: str) -> str:
        """The JSON pointer of an event's field (`/occurred_at`), as this line names it (`/occurredAt`)."""
        return API_FIELDS.get(field, field) if self.of_api else field


class _ItemLine(ItemIn, frozen=True, kw_only=True):
    kind: Literal["item"] | None = None
    visible_at: Time | None = None


class _SignalLine(SignalIn, frozen=True, kw_only=True):
    visible_at: Time | None = None


class _PlayLine(PlayIn, frozen=True, kw_only=True):
    kind: Literal["play"] | None = None
    visible_at: Time | None = None


class _EventLine(EventIn, frozen=True, kw_only=True):
    visible_at: Time | None = None


class _DecisionLine(In, frozen=True, kw_only=True):
    subject: Ref
    harm: Name
    verdict: Verdict
    reviewer: Reviewer
    by: DecidedBy = "human"
    reason: Prose = ""
    kind: Literal["decision"] | None = None
    occurred_at: Time | None = None
    event_id: Id | None = None
    visible_at: Time | None = None


_ApiLine = _ItemLine | _SignalLine | _PlayLine | _DecisionLine | _EventLine
_BY_KIND: dict[bytes, type[_ApiLine]] = {b'"item"': _ItemLine, b'"play"': _PlayLine, b'"decision"': _DecisionLine}
_SIGNAL_KINDS = {f'"{kind}"'.encode() for kind in get_args(SignalKind)}
_Given = Raw | UnsetType


class _Shape(msgspec.Struct, rename="camel"):
    """The fields by which lines are told apart. `visible_at` is how the log spells it."""

    body: _Given = UNSET
    visible_at: _Given = msgspec.field(name="visible_at", default=UNSET)
    kind: _Given = UNSET
    verdict: _Given = UNSET
    seconds: _Given = UNSET
    source: _Given = UNSET
    type_id: _Given = UNSET
    items: _Given = UNSET
    signals: _Given = UNSET
    plays: _Given = UNSET
    events: _Given = UNSET


def parse_line(raw: bytes, declared: Declared) -> Line:
    """Read one line.

    Raises:
        InvalidInput: with the JSON pointer of the error; the message does not quote the input.
    """
    if raw.lstrip().startswith(b"["):
        raise InvalidInput(
            "The line is a list.", remedy="Write one object per line, without brackets around them or commas between."
        )
    shape = parse(raw, _Shape)
    if shape.body is UNSET:
        return _of_api(parse(raw, _type_of(shape)), declared)
    if shape.visible_at is UNSET:
        event, visible_at = decode_event(raw), None
    else:
        record = decode_recorded(raw)
        event, visible_at = record.event, record.visible_at
    if isinstance(event.body, ItemCreated | Happened):
        declared.check(event.body)
    return Line(event, visible_at, of_api=False)


def _type_of(shape: _Shape) -> type[_ApiLine]:
    if isinstance(shape.kind, Raw):
        kind = bytes(shape.kind).strip()
        if kind in _SIGNAL_KINDS or not kind.startswith(b'"'):
            return _SignalLine
        return _BY_KIND.get(kind, _EventLine)
    if shape.verdict is not UNSET:
        return _DecisionLine
    if shape.seconds is not UNSET:
        return _PlayLine
    if shape.source is not UNSET:
        return _SignalLine
    if shape.type_id is not UNSET:
        return _ItemLine
    if not (shape.items is shape.signals is shape.plays is shape.events is UNSET):
        raise InvalidInput(
            "The line is a whole request.", remedy="Write each of its items, signals, plays or events on its own line."
        )
    raise InvalidInput(
        "The line is not an event.",
        remedy="Write an item, a signal, a play, a decision or another event in the API's format, or one with a body.",
    )


def _of_api(line: _ApiLine, declared: Declared) -> Line:
    if line.event_id is None:
        raise InvalidInput(
            "eventId is missing.",
            field="/eventId",
            remedy="Give each line an ID of its own, so that the file can be ingested again without adding it twice.",
        )
    if line.occurred_at is None:
        raise InvalidInput(
            "occurredAt is missing.", field="/occurredAt", remedy="Say when it happened, as in 2026-03-01T12:00:00Z."
        )
    visible_at = None if line.visible_at is None else instant(line.visible_at, 0, field="/visibleAt")
    occurred_at = instant(line.occurred_at, 0, field="/occurredAt")
    return Line(Event(line.event_id, occurred_at, _body(line, declared)), visible_at, of_api=True)


def _body(line: _ApiLine, declared: Declared) -> Body:
    if isinstance(line, _DecisionLine):
        return DecisionMade(ref_of(line.subject), line.harm, line.verdict, line.by, line.reviewer, reason=line.reason)
    entry: Entry = line
    return body_of(entry, declared)
