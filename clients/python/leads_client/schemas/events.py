"""Requests and the response of `POST /v1/items`, `/v1/signals` and `/v1/plays`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from leads_client.fields import Id, Name, SignalKind
from leads_client.schemas.base import MAX_BATCH, In, Out, Ref, SubjectIn, Time

EventId = Annotated[Id, Meta(description="An event with a known id is ignored. Default: assigned by the service.")]


class ItemIn(SubjectIn, frozen=True, kw_only=True):
    """An item that was created or edited."""

    occurred_at: Time | None = None
    event_id: EventId | None = None


class SignalIn(In, frozen=True, kw_only=True):
    """A report, a notice, a hash match or another classifier's score.

    A signal of kind `classifier` needs its `score`.
    """

    subject: Ref
    kind: SignalKind
    source: Id
    harm: Name | None = None
    reporter_id: Id | None = None
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    occurred_at: Time | None = None
    event_id: EventId | None = None


class PlayIn(In, frozen=True, kw_only=True):
    """An account played an item."""

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
    """The events are durable. `duplicates` had known ids and were ignored; features follow within about a second."""

    accepted: int
    duplicates: int
    event_ids: tuple[str, ...]
