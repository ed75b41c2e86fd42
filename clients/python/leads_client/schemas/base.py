"""Base classes of requests and responses: camelCase JSON, times in RFC 3339.

Requests are strict: the service rejects unknown fields, NaN and overlong texts, and names the JSON pointer. Responses
are lenient, so that a client keeps working when a newer service adds fields.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from leads_client.fields import Id, Name, Text

MAX_BATCH = 1_000

Time = Annotated[str, Meta(description="RFC 3339 with an offset; default: now.", examples=["2026-03-01T12:00:00Z"])]
Harms = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=100)]


class In(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Base class of everything the service receives."""


class Ref(In, frozen=True):
    """A subject by type and id."""

    id: Id
    type_id: Name


class ItemData(In, frozen=True):
    """An item's content. `parent` is what it was posted under; `duration_s` is a recording's length in seconds."""

    text: Text | None = None
    account_id: Id | None = None
    parent: Ref | None = None
    duration_s: Annotated[float, Meta(ge=0, le=1e7)] | None = None


class SubjectIn(In, frozen=True):
    """A subject with its content."""

    id: Id
    type_id: Name
    data: ItemData = ItemData()


class Out(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Base class of everything the service sends."""


class RefOut(Ref, frozen=True, forbid_unknown_fields=False):
    """A subject in a response. As in all responses, unknown fields are ignored."""


class ItemDataOut(ItemData, frozen=True, forbid_unknown_fields=False):
    """An item's content in a response."""

    parent: RefOut | None = None


class SubjectOut(SubjectIn, frozen=True, forbid_unknown_fields=False):
    """A subject with its stored content in a response."""

    data: ItemDataOut = ItemDataOut()


class ReasonOut(Out, frozen=True):
    code: str
    text: str


class WeighedReason(ReasonOut, frozen=True):
    """`weight` is the reason's contribution to the score, in log-odds."""

    weight: float
