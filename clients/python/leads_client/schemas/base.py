"""What travels over HTTP: camelCase JSON, times as RFC 3339, subjects as review consoles send them.

Types are strict: an unknown field, NaN or a text too long is refused with the JSON pointer of what is wrong.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from leads import clock
from leads.clock import Micros
from leads.errors import InvalidInput
from leads.events import DecidedBy, Id, Name, SignalKind, SubjectRef, Text, Verdict, decode

MAX_BATCH = 1_000
T = TypeVar("T")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}

Time = Annotated[str, Meta(description="RFC 3339 with an offset; default: now.", examples=["2026-03-01T12:00:00Z"])]
Harms = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=100)]
EventId = Annotated[Id, Meta(description="The same id sent again changes nothing. Default: given by the service.")]


class In(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Everything that is received."""


class Ref(In, frozen=True):
    """A subject by type and id."""

    id: Id
    type_id: Name

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef(self.type_id, self.id)


class ItemData(In, frozen=True):
    """What an item holds: who made it, what it hangs on, its text, a recording's length."""

    text: Text | None = None
    account_id: Id | None = None
    parent: Ref | None = None
    duration_s: Annotated[float, Meta(ge=0, le=1e7)] | None = None


class SubjectIn(In, frozen=True):
    """A subject with what is known of it."""

    id: Id
    type_id: Name
    data: ItemData = ItemData()

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef(self.type_id, self.id)


class ItemIn(SubjectIn, frozen=True, kw_only=True):
    """An item that came to be or was edited."""

    occurred_at: Time | None = None
    event_id: EventId | None = None


class SignalIn(In, frozen=True, kw_only=True):
    """A report, a notice, a hash match or another classifier's score."""

    subject: Ref
    kind: SignalKind
    source: Id
    harm: Name | None = None
    reporter_id: Id | None = None
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    occurred_at: Time | None = None
    event_id: EventId | None = None


class PlayIn(In, frozen=True, kw_only=True):
    """Somebody listened to something."""

    subject: Ref
    account_id: Id
    seconds: Annotated[float, Meta(ge=0, le=1e6)]
    device_id: Id | None = None
    occurred_at: Time | None = None
    event_id: EventId | None = None


class ItemsIn(In, frozen=True):
    items: Annotated[tuple[ItemIn, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class SignalsIn(In, frozen=True):
    signals: Annotated[tuple[SignalIn, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class PlaysIn(In, frozen=True):
    plays: Annotated[tuple[PlayIn, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class ClaimIn(In, frozen=True):
    reviewer: Id
    n: Annotated[int, Meta(ge=1, le=100)] = 1
    harms: Harms | None = None


class ReleaseIn(In, frozen=True):
    reviewer: Id


class DecisionIn(In, frozen=True):
    """A verdict on a lead."""

    verdict: Verdict
    reviewer: Id
    by: DecidedBy = "human"
    reason: Annotated[str, Meta(max_length=2_000)] = ""


class SubjectDecisionIn(DecisionIn, frozen=True, kw_only=True):
    """A verdict on a subject under a harm. `appeal` says that an earlier human decision is meant to be overturned."""

    subject: Ref
    harm: Name
    appeal: bool = False


class Out(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Everything that is sent."""


class Accepted(Out, frozen=True):
    """Durable. `duplicates` were known by id and changed nothing; features are visible within about a second."""

    accepted: int
    duplicates: int
    event_ids: tuple[str, ...]


class RefOut(Ref, frozen=True, forbid_unknown_fields=False):
    """A subject in an answer. As in all answers, fields that a newer service adds are passed over."""


class ItemDataOut(ItemData, frozen=True, forbid_unknown_fields=False):
    """What an item holds, in an answer."""

    parent: RefOut | None = None


class SubjectOut(SubjectIn, frozen=True, forbid_unknown_fields=False):
    """A subject with what is stored of it, in an answer."""

    data: ItemDataOut = ItemDataOut()


class ReasonOut(Out, frozen=True):
    code: str
    text: str


class WeighedReason(ReasonOut, frozen=True):
    """`weight` is the reason's part of the score, in log-odds."""

    weight: float


def parse(raw: bytes, type_: type[T]) -> T:
    """A request's body.

    Raises:
        InvalidInput: with the JSON pointer of what is wrong.
    """
    if type_ not in _decoders:
        _decoders[type_] = msgspec.json.Decoder(type_)
    body: T = decode(_decoders[type_], raw)
    return body


def instant(text: str | None, default: Micros, *, field: str) -> Micros:
    """Raises InvalidInput when the text is no time between 2000 and 2100."""
    if text is None:
        return default
    try:
        at = clock.from_text(text)
    except ValueError as error:
        raise InvalidInput("This is not a time.", field=field, remedy="For example 2026-03-01T12:00:00Z.") from error
    if not 946_684_800_000_000 <= at <= 4_102_444_800_000_000:
        raise InvalidInput("This time is not between 2000 and 2100.", field=field)
    return at


def time_text(at: Micros | None) -> str | None:
    """RFC 3339, or None."""
    return None if at is None else clock.to_text(at)


def schema(type_: Any) -> dict[str, Any]:
    """JSON schema with every reference put in its place, as both OpenAPI documents can carry it."""
    (top,), components = msgspec.json.schema_components([type_], ref_template="{name}")
    inlined: dict[str, Any] = _inline(top, components)
    return inlined


def _inline(node: Any, components: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _inline(components[node["$ref"]], components)
        return {key: _inline(value, components) for key, value in node.items()}
    return [_inline(part, components) for part in node] if isinstance(node, list) else node
