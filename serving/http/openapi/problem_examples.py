"""The problem documents in OpenAPI: which routes return which, with examples from the code that creates them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from leads.errors import (
    AccessDenied,
    AlreadyDecided,
    Conflict,
    InvalidInput,
    LeadClaimed,
    LeadsError,
    LeaseExpired,
    NoModel,
    NotAuthenticated,
    NotClaimed,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from serving.http import bodies
from serving.http.idempotency import key_reused
from serving.http.openapi.schemas import ref
from serving.http.parameters import unknown_parameter
from serving.http.problems import MEDIA_TYPE, from_error, from_status
from serving.queue.leads_table import lead_not_found

SCHEMAS = {
    "Problem": {
        "title": "Problem",
        "description": "What is wrong with a request, where, and what to do next (RFC 9457).",
        "type": "object",
        "required": ["type", "title", "status", "detail", "errors", "request_id"],
        "properties": {
            "type": {"type": "string", "description": "The kind of problem: the same for every request that has it."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong, and what to do next."},
            "errors": {"type": "array", "items": ref("ProblemDetail")},
            "request_id": {
                "type": "string",
                "description": "Same as X-Request-Id. Identifies the request in the service's log.",
            },
        },
    },
    "ProblemDetail": {
        "title": "ProblemDetail",
        "description": "What is wrong at one place of the request.",
        "type": "object",
        "required": ["pointer", "detail"],
        "properties": {
            "pointer": {"type": "string", "description": "JSON pointer into the body, or /name of a parameter."},
            "detail": {"type": "string"},
        },
    },
}
LEAD_NOT_FOUND = lead_not_found()
KEY_REUSED = key_reused()
CLAIMED_BY_ANOTHER = LeadClaimed(
    "Another reviewer has claimed this lead.",
    remedy="Decide it after 2026-03-01T12:15:00Z, or ask the reviewer to release it.",
)
ALREADY_DECIDED = AlreadyDecided(
    "A human has already decided this: violating.",
    remedy="To overturn the decision, send yours with `appeal: true` to POST /v1/decisions.",
)
NOT_CLAIMED = NotClaimed(
    "This reviewer has not claimed the lead; its state is open.",
    remedy="Only the reviewer who claimed a lead can release it or extend its lease, and only while it lasts.",
)
LEASE_EXPIRED = LeaseExpired(
    "This reviewer's lease ran out at 2026-03-01T12:15:00Z; the lead's state is open.",
    remedy="Claim leads again. While the lead is open, you can still decide it with the `reviewId` or the "
    "`contentVersion` of the claim.",
)
CONTENT_NOT_NAMED = InvalidInput(
    "Nothing says which content the verdict is about: this reviewer doesn't hold the lead.",
    field="/contentVersion",
    remedy="Send the `contentVersion` of the content that was shown, from GET /v1/leads/{id} or an earlier claim; "
    "or claim the lead, show its content and decide it with the `reviewId` of the claim.",
)
HOLDS_TOO_MANY = Conflict(
    "This reviewer holds 100 leads already, the most that one reviewer may hold.",
    field="/reviewer",
    remedy="Decide or release some. GET /v1/reviews lists them.",
)
CONTENT_CHANGED = Conflict(
    "The content has changed since it was shown; its version is now 18-0f3c5a7d9b1e2c4f6a8b0d2e4f6a8c0e.",
    field="/contentVersion",
    remedy="Judge the new content, or send `onOldContent: true` if the verdict is about the old one.",
)
NO_REVIEWER = InvalidInput("This key has no reviewer of its own.", field="/reviewer", remedy="Name the reviewer.")
NOT_YOUR_REVIEWER = AccessDenied(
    "This key can't act as another reviewer.",
    field="/reviewer",
    remedy="It acts as rev-12. A review tool that acts for several reviewers needs a key with the scope act_as.",
)
EVENT_ID_USED = Conflict(
    "The event id 'ev-1' is already used for another event.",
    field="/items/0/eventId",
    remedy="Nothing was stored. Give every event an id of its own, and send an event again only unchanged.",
)
NOT_STORED = NotFound(
    "comment 'c-99' is unknown.", field="/subjects/0/id", remedy="Send it with POST /v1/items first, or give its text."
)
SUBJECT_NOT_FOUND = NotFound(
    "comment 'c-99' is unknown.", field="/subject/id", remedy="Send it with POST /v1/items first."
)
NO_MODEL = NoModel(
    "No model version of sexism is published.", field="/subjects/0", remedy="Train one: leads train sexism"
)
INVALID_CURSOR = InvalidInput(
    "Not a valid cursor.", field="/cursor", remedy="Use `nextCursor` of the previous page, unchanged."
)
INVALID_TIME = InvalidInput(
    "Not a valid time.",
    field="/items/0/occurredAt",
    remedy="Use RFC 3339 with an offset, for example 2026-03-01T12:00:00Z.",
)
_UNKNOWN_PARAMETER = unknown_parameter("page", ())
_KEY_MISSING = NotAuthenticated(
    "API key missing.", remedy="Create one with `leads keys create` and send it in the X-API-Key header."
)
_KEY_INVALID = NotAuthenticated(
    "Invalid API key.", remedy="Create one with `leads keys create` and send it in the X-API-Key header."
)
_ONLY_METRICS = AccessDenied("This key can only read /metrics.", remedy="Use a key with another scope than metrics.")
_BODY_TOO_LARGE = TooLarge(f"The body is larger than {bodies.MAX_BODY_BYTES:,} bytes.", remedy="Send smaller batches.")
_RATE_LIMITED = TooManyRequests("This key is limited to 500 requests per second.", retry_after_s=1, remedy="Wait 1 s.")
_DATABASE_DOWN = Unavailable(
    "The database is not responding.", remedy="Check that it is running and that the credentials are valid."
)
_MEANINGS = {
    401: "API key missing or invalid",
    403: "Not allowed with this API key",
    404: "Not found",
    408: "The body didn't arrive in time",
    409: "Not possible in the current state",
    413: "Body too large",
    414: "Path and query string too long",
    415: "Not JSON, or compressed",
    422: "Invalid input",
    429: "Too many requests",
    431: "Headers too large",
    503: "A part of the service doesn't respond, or a model isn't loaded yet. Try again",
}
_RETRY_AFTER = {"description": "Seconds after which a retry can succeed.", "schema": {"type": "integer"}}
_ID = "5f0c2a9e8d1b4c7730aa91fe"


def harm_not_found(field: str) -> LeadsError:
    """`field` names a harm that policies.yaml doesn't define."""
    return NotFound("Harm 'spma' not found.", field=field, remedy="Harms in policies.yaml: spam, sexism.")


def harm_not_allowed(field: str) -> LeadsError:
    """`field` names a harm that the key can't access."""
    return AccessDenied("This key can't access sexism.", field=field, remedy="It is limited to: spam.")


def missing_field(field: str) -> LeadsError:
    """The body lacks a required field."""
    return InvalidInput(f"Object missing required field `{field}`.", field=f"/{field}")


def responses(
    scope: str | None, own: Sequence[LeadsError], *, takes_body: bool, writes: bool, takes_parameters: bool
) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, by status; `own` are those that not every route returns."""
    errors: list[LeadsError | int] = [_KEY_MISSING, _KEY_INVALID]
    if scope is None:
        errors.append(_ONLY_METRICS)
    else:
        errors.append(AccessDenied(f"This key doesn't have the scope {scope}.", remedy=f"Use a key with {scope}."))
    errors += [*own, _UNKNOWN_PARAMETER]
    if writes:
        errors.append(KEY_REUSED)
    if takes_body:
        errors += [_BODY_TOO_LARGE, 408, 415]
    if takes_parameters:
        errors.append(414)
    errors += [_RATE_LIMITED, 431, _DATABASE_DOWN]
    by_status: dict[int, dict[str, Any]] = {}
    for error in errors:
        example = _example(error)
        named = by_status.setdefault(example["status"], {})
        first = example["errors"][0]["detail"] if example["errors"] else example["detail"].split(". ")[0]
        named[first.rstrip(".")] = {"value": example}
    found: dict[int | str, dict[str, Any]] = {
        status: {
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": ref("Problem"), "examples": by_status[status]}},
        }
        for status in sorted(by_status)
    }
    found[429]["headers"] = {"Retry-After": _RETRY_AFTER}
    # Without this entry, FastAPI documents its own validation error, which is never returned.
    found["default"] = {"description": "Any other problem", "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}
    return found


def _example(error: LeadsError | int) -> dict[str, Any]:
    response = from_status(error, _ID, detail=_DETAILS.get(error)) if isinstance(error, int) else from_error(error, _ID)
    example: dict[str, Any] = msgspec.json.decode(bytes(response.body))
    return example


_DETAILS = {
    int(HTTPStatus.REQUEST_TIMEOUT): f"The body must arrive within {bodies.BODY_S:g} seconds.",
    int(HTTPStatus.REQUEST_URI_TOO_LONG): f"Path and query string are longer than {bodies.MAX_TARGET_BYTES:,} bytes.",
    int(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE): bodies.HEADERS_TOO_LARGE,
}
