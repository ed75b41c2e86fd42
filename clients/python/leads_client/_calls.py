"""Builds requests. Long lists are split into as many requests as the service's limits require."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from leads_client.errors import InvalidInput
from leads_client.fields import json_name
from leads_client.schemas.base import MAX_BATCH, Ref, SubjectIn
from leads_client.schemas.events import Accepted, EventIn, ItemIn
from leads_client.schemas.leads import (
    ClaimedOut,
    ClaimIn,
    DecidedOut,
    DecisionIn,
    ExtendedOut,
    ExtendIn,
    HeldOut,
    LeadDetail,
    LeadsOut,
    ReleasedOut,
    ReleaseIn,
    StateFilter,
    SubjectDecisionIn,
    TrailOut,
)
from leads_client.schemas.scores import ScoresOut
from leads_client.schemas.stats import StatsOut

T = TypeVar("T")
SubjectLike = SubjectIn | Ref | tuple[str, str]
# The service accepts 2 MiB; this leaves room for what surrounds the list.
_MAX_LIST_BYTES = 2_000_000


@dataclass(frozen=True)
class ApiCall(Generic[T]):
    """One request. Safe to repeat: it reads, scores, or sends an Idempotency-Key.

    Args:
        result: type of the response body.
        first: index in the caller's list of this call's first entry.
    """

    method: str
    path: str
    result: type[T]
    params: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    idempotency_key: str | None = None
    first: int = 0

    @property
    def headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json"} if self.body is not None else {}
        return headers if self.idempotency_key is None else {**headers, "idempotency-key": self.idempotency_key}


def ref(type_id: str, id: str) -> Ref:
    """A reference to a subject, as used by signals and plays.

    >>> ref("comment", "c1")
    Ref(id='c1', type_id='comment')
    """
    return Ref(id, type_id)


def subject(
    type_id: str,
    id: str,
    *,
    account_id: str | None = None,
    parent: Ref | tuple[str, str] | None = None,
    **fields: Any,
) -> SubjectIn:
    """A subject with its content. `parent` is what it was posted under, as (type, id).

    Args:
        fields: those that its type declares, named as in platform.yaml: `text`, `duration_s`. Times may be given as
            text in RFC 3339, or as `datetime` with a time zone.

    >>> bytes(subject("track", "t3", duration_s=2.5).data)
    b'{"durationS":2.5}'
    """
    parent_ref = ref(*parent) if isinstance(parent, tuple) else parent
    given = {"account_id": account_id, "parent": parent_ref, **fields}
    data = {json_name(name): value for name, value in given.items() if value is not None}
    return SubjectIn(id, type_id, msgspec.Raw(_encode(data, "/data")))


def item(
    type_id: str,
    id: str,
    *,
    occurred_at: str | None = None,
    event_id: str | None = None,
    **content: Any,
) -> ItemIn:
    """An item that was created or edited. Takes the same content as `subject`.

    >>> item("comment", "c1", text="hi", account_id="a1", event_id="e1").event_id
    'e1'
    """
    return ItemIn(id, type_id, subject(type_id, id, **content).data, occurred_at=occurred_at, event_id=event_id)


def event(
    kind: str,
    *,
    account_id: str | None = None,
    about: Ref | tuple[str, str] | None = None,
    occurred_at: str | None = None,
    event_id: str | None = None,
    **fields: Any,
) -> EventIn:
    """An event of a kind that platform.yaml declares.

    Args:
        account_id: who did it.
        about: what it is about, as (type, id); by default, the account.
        fields: those that its kind declares, as for `subject`.

    >>> bytes(event("payout", account_id="a1", amount=12.5).data)
    b'{"amount":12.5}'
    """
    named = ref(*about) if isinstance(about, tuple) else about
    data = {json_name(name): value for name, value in fields.items() if value is not None}
    return EventIn(
        kind=kind,
        account_id=account_id,
        subject=named,
        data=msgspec.Raw(_encode(data, "/data")),
        occurred_at=occurred_at,
        event_id=event_id,
    )


def score_calls(
    subjects: Iterable[SubjectLike], harms: Sequence[str] | None, reasons: bool
) -> list[ApiCall[ScoresOut]]:
    """Calls that together score all subjects."""
    options: dict[str, Any] = {"reasons": reasons} if harms is None else {"harms": list(harms), "reasons": reasons}
    entries = [_subject_in(subject) for subject in subjects]
    return [
        ApiCall("POST", "/v1/score", ScoresOut, body=_encode({"subjects": part, **options}), first=first)
        for first, part in _parts("subjects", entries)
    ]


def event_calls(name: str, entries: Iterable[msgspec.Struct], idempotency_key: str | None) -> list[ApiCall[Accepted]]:
    """Calls that together send all `items`, `signals`, `plays` or `events`, each with its own Idempotency-Key.

    The same entries and key always give the same calls.
    """
    key, parts = _key(idempotency_key), list(_parts(name, list(entries)))
    return [
        ApiCall(
            "POST",
            f"/v1/{name}",
            Accepted,
            body=_encode({name: part}),
            idempotency_key=key if len(parts) == 1 else _key(f"{key}-{n}"),
            first=first,
        )
        for n, (first, part) in enumerate(parts)
    ]


def leads_call(
    harms: Sequence[str] | None, state: StateFilter, type_id: str | None, limit: int, cursor: str | None
) -> ApiCall[LeadsOut]:
    params = [("harm", harm) for harm in harms or ()] + [("state", state), ("limit", str(limit))]
    params += [(name, value) for name, value in (("typeId", type_id), ("cursor", cursor)) if value is not None]
    return ApiCall("GET", "/v1/leads", LeadsOut, params=tuple(params))


def stats_call() -> ApiCall[StatsOut]:
    return ApiCall("GET", "/v1/leads/stats", StatsOut)


def lead_call(lead_id: str) -> ApiCall[LeadDetail]:
    return ApiCall("GET", _lead_path(lead_id), LeadDetail)


def audit_call(lead_id: str) -> ApiCall[TrailOut]:
    return ApiCall("GET", f"{_lead_path(lead_id)}/audit", TrailOut)


def claim_call(body: ClaimIn, idempotency_key: str | None) -> ApiCall[ClaimedOut]:
    return post_call("/v1/leads/claim", ClaimedOut, body, idempotency_key)


def held_call(reviewer: str | None) -> ApiCall[HeldOut]:
    return ApiCall("GET", "/v1/reviews", HeldOut, params=() if reviewer is None else (("reviewer", reviewer),))


def extend_call(lead_id: str, reviewer: str | None, idempotency_key: str | None) -> ApiCall[ExtendedOut]:
    return post_call(f"{_lead_path(lead_id)}/extend", ExtendedOut, ExtendIn(reviewer), idempotency_key)


def release_call(lead_id: str, reviewer: str | None, idempotency_key: str | None) -> ApiCall[ReleasedOut]:
    return post_call(f"{_lead_path(lead_id)}/release", ReleasedOut, ReleaseIn(reviewer), idempotency_key)


def decide_call(lead_id: str, body: DecisionIn, idempotency_key: str | None) -> ApiCall[DecidedOut]:
    return post_call(f"{_lead_path(lead_id)}/decision", DecidedOut, body, idempotency_key)


def decide_subject_call(body: SubjectDecisionIn, idempotency_key: str | None) -> ApiCall[DecidedOut]:
    return post_call("/v1/decisions", DecidedOut, body, idempotency_key)


def as_ref(subject: SubjectLike) -> Ref:
    return ref(*subject) if isinstance(subject, tuple) else Ref(subject.id, subject.type_id)


def _subject_in(subject: SubjectLike) -> SubjectIn:
    if isinstance(subject, SubjectIn):
        return subject
    named = as_ref(subject)
    return SubjectIn(named.id, named.type_id)


def _lead_path(lead_id: str) -> str:
    return f"/v1/leads/{quote(lead_id, safe='')}"


def post_call(path: str, result: type[T], body: msgspec.Struct, idempotency_key: str | None) -> ApiCall[T]:
    """A call that changes something."""
    return ApiCall("POST", path, result, body=_encode(body), idempotency_key=_key(idempotency_key))


def delete_call(path: str, result: type[T], idempotency_key: str | None) -> ApiCall[T]:
    """A call that ends something."""
    return ApiCall("DELETE", path, result, idempotency_key=_key(idempotency_key))


def _key(given: str | None) -> str:
    """The caller's Idempotency-Key, or a new one, to be used for all attempts at a call.

    Raises:
        InvalidInput: it can't be sent in a header.
    """
    if given is None:
        return str(uuid.uuid4())
    if not (0 < len(given) <= 255 and given.isascii() and given.isprintable()):
        remedy = "Use a UUID, for example. If a list is sent in several requests, their number is added to the key."
        raise InvalidInput("An idempotency key needs 1 to 255 printable ASCII characters.", remedy=remedy)
    return given


def _parts(name: str, entries: Sequence[msgspec.Struct]) -> Iterator[tuple[int, list[msgspec.Raw]]]:
    """Split the entries, as JSON, into parts that the service accepts; yields the index of each part's first entry too.

    Yields at least one part: the service decides whether an empty list is an error.
    """
    first, size, part = 0, 0, list[msgspec.Raw]()
    for i, entry in enumerate(entries):
        raw = _encode(entry, f"/{name}/{i}")
        if part and (len(part) == MAX_BATCH or size + len(raw) > _MAX_LIST_BYTES):
            yield first, part
            first, size, part = i, 0, []
        part.append(msgspec.Raw(raw))
        size += len(raw) + 1
    yield first, part


def _encode(body: msgspec.Struct | Mapping[str, Any], field: str | None = None) -> bytes:
    """Raises InvalidInput if the body can't be encoded as JSON."""
    try:
        return msgspec.json.encode(body)
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        # The encoder's message isn't used: it may quote a text.
        raise InvalidInput("Can't be encoded as JSON in UTF-8.", field=field) from error
