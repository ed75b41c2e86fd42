"""Requests and the response of `POST /v1/items`, `/v1/signals`, `/v1/plays` and `/v1/events`."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Raw, UnsetType

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


class EventIn(In, frozen=True, kw_only=True):
    """An event of a kind that `platform.yaml` declares. Without a `subject`, it is about the account that did it."""

    kind: Name
    account_id: Id | None = None
    subject: Ref | None = None
    data: Annotated[
        Raw | UnsetType,
        Meta(extra_json_schema={"type": "object"}, description="The fields of its kind; `GET /v1/types` lists them."),
    ] = UNSET
    occurred_at: Time | None = None
    event_id: EventId | None = None


class ItemsIn(In, frozen=True):
    """Items to store. If one is wrong, none is stored."""

    items: Annotated[tuple[ItemIn, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class SignalsIn(In, frozen=True):
    """Signals to store. If one is wrong, none is stored."""

    signals: Annotated[tuple[SignalIn, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class PlaysIn(In, frozen=True):
    """Plays to store. If one is wrong, none is stored."""

    plays: Annotated[tuple[PlayIn, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class EventsIn(In, frozen=True):
    """Events to store. If one is wrong, none is stored."""

    events: Annotated[tuple[EventIn, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class Accepted(Out, frozen=True):
    """The events are durable. `duplicates` had known ids and were ignored; features follow within about a second."""

    accepted: int
    duplicates: int
    event_ids: tuple[str, ...]
