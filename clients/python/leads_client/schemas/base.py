"""Base classes of requests and responses: camelCase JSON, times in RFC 3339.

Requests are strict: the service rejects unknown fields, NaN and overlong texts, and names the JSON pointer. Responses
are lenient, so that a client keeps working when a newer service adds fields.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from leads_client.fields import Id, Name

MAX_BATCH = 1_000

_RFC_3339 = {"format": "date-time"}
Time = Annotated[
    str,
    Meta(
        description="RFC 3339 with an offset; default: now.",
        examples=["2026-03-01T12:00:00Z"],
        extra_json_schema=_RFC_3339,
    ),
]
# A time in a response.
Instant = Annotated[str, Meta(extra_json_schema=_RFC_3339)]
Harms = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=100)]


def one_of(values: Any) -> Meta:
    """Say in the API's reference that a field of a response has one of the values of a `Literal`.

    The client doesn't check them.
    """
    return Meta(extra_json_schema={"enum": list(get_args(values))})


class In(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Base class of everything the service receives."""


class Ref(In, frozen=True):
    """A subject by type and id."""

    id: Id
    type_id: Name


_DATA = "`accountId` is who created it, `parent` what it was posted under. Its other fields depend on its type."


class SubjectIn(In, frozen=True):
    """A subject with its content."""

    id: Id
    type_id: Name
    data: Annotated[msgspec.Raw | msgspec.UnsetType, Meta(description=_DATA)] = msgspec.UNSET


class Out(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Base class of everything the service sends."""


class RefOut(Ref, frozen=True, forbid_unknown_fields=False):
    """A subject in a response. As in all responses, unknown fields are ignored."""


class SubjectOut(RefOut, frozen=True):
    """A subject with its stored content in a response."""

    data: Annotated[dict[str, Any], Meta(description=_DATA)] = {}


class ReasonOut(Out, frozen=True):
    """Why a score is high: a stable `code`, and a `text` for people."""

    code: str
    text: str


class WeighedReason(ReasonOut, frozen=True):
    """A reason with its `weight`, which is its contribution to the score, in log-odds."""

    weight: float
