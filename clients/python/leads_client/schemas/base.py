"""What all requests and answers share: camelCase JSON, times as RFC 3339, subjects as review consoles send them.

Requests are strict: the service refuses an unknown field, NaN or an overlong text and names the JSON pointer. Answers
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
    """Everything that is received."""


class Ref(In, frozen=True):
    """A subject by type and id."""

    id: Id
    type_id: Name


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


class Out(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Everything that is sent."""


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
