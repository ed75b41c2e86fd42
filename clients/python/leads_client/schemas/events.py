"""Bodies of `POST /v1/items`, `/v1/signals` and `/v1/plays`, and their answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from leads_client.fields import Id, Name, SignalKind
from leads_client.schemas.base import MAX_BATCH, In, Out, Ref, SubjectIn, Time

EventId = Annotated[Id, Meta(description="The same id sent again changes nothing. Default: given by the service.")]


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


class Accepted(Out, frozen=True):
    """Durable. `duplicates` were known by id and changed nothing; features are visible within about a second."""

    accepted: int
    duplicates: int
    event_ids: tuple[str, ...]
