"""The problems that OpenAPI shows: which can occur where, each with an example made by the code that answers them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from leads.errors import (
    AccessDenied,
    Conflict,
    InvalidInput,
    LeadsError,
    NotAuthenticated,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from serving.http import bodies
from serving.http.problems import MEDIA_TYPE, from_error, from_status

SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "errors", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do next."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body; /name of a parameter."},
                    "detail": {"type": "string"},
                },
            },
        },
        "request_id": {"type": "string", "description": "As X-Request-Id; the service's log has more under it."},
    },
}
LEAD_NOT_FOUND = NotFound("There is no such lead.", remedy="List the leads there are with GET /v1/leads.")
KEY_REUSED = Conflict("This Idempotency-Key was used for another request.", remedy="Send a new one.")
CLAIMED_BY_ANOTHER = Conflict(
    "Another reviewer holds this lead.", remedy="Decide it after 2026-03-01T12:15:00Z, or let them release it."
)
ALREADY_DECIDED = Conflict(
    "It was decided before: violating.",
    remedy="To overturn that send the decision with `appeal: true` to POST /v1/decisions.",
)
NOT_CLAIMED = Conflict("The lead is open and not held by this reviewer.", remedy="Only its holder releases it.")
NOT_STORED = NotFound(
    "comment 'c-99' is unknown.", field="/subjects/0/id", remedy="Send it with POST /v1/items first, or give its text."
)
SUBJECT_NOT_FOUND = NotFound(
    "comment 'c-99' is unknown.", field="/subject/id", remedy="Send it with POST /v1/items first."
)
NO_MODEL = Unavailable(
    "No model version of sexism is published.", field="/subjects/0", remedy="Train one: leads train sexism"
)
INVALID_CURSOR = InvalidInput(
    "This is not a cursor.", field="/cursor", remedy="Use `nextCursor` of the answer before, unchanged."
)
INVALID_TIME = InvalidInput(
    "Not a valid time.",
    field="/items/0/occurredAt",
    remedy="Use RFC 3339 with an offset, for example 2026-03-01T12:00:00Z.",
)
_KEY_MISSING = NotAuthenticated("There is no API key.", remedy="Send one as X-API-Key; leads keys create makes one.")
_KEY_INVALID = NotAuthenticated(
    "Invalid API key.", remedy="Create one with `leads keys create` and send it in the X-API-Key header."
)
_BODY_TOO_LARGE = TooLarge(f"The body is larger than {bodies.MAX_BODY_BYTES:,} bytes.", remedy="Send smaller batches.")
_RATE_LIMITED = TooManyRequests("This key may make 500 requests per second.", retry_after_s=1, remedy="Wait 1 s.")
_DATABASE_DOWN = Unavailable(
    "The database is not responding.", remedy="Check that it is running and that the credentials are valid."
)
_MEANINGS = {
    401: "No valid key",
    403: "The key doesn't allow that",
    404: "It doesn't exist",
    408: "The body didn't arrive in time",
    409: "The current state forbids it",
    413: "Too large",
    414: "Path and query too long",
    415: "Not JSON, or compressed",
    422: "Not valid",
    429: "Too many requests",
    431: "Headers too large",
    503: "A part doesn't answer, or no model is published: try again",
}
_RETRY_AFTER = {"description": "After how many seconds another try can succeed.", "schema": {"type": "integer"}}
_ID = "5f0c2a9e8d1b4c7730aa91fe"


def harm_not_found(field: str) -> LeadsError:
    """A harm in `field` that isn't declared."""
    return NotFound("Harm 'spma' not found.", field=field, remedy="Harms in policies.yaml: spam, sexism.")


def harm_not_allowed(field: str) -> LeadsError:
    """A harm in `field` that the key isn't for."""
    return AccessDenied("This key can't access sexism.", field=field, remedy="It is limited to: spam.")


def missing_field(field: str) -> LeadsError:
    """A body without a required field."""
    return InvalidInput(f"Object missing required field `{field}`.")


def responses(
    scope: str | None, own: Sequence[LeadsError], *, takes_body: bool, writes: bool, takes_parameters: bool
) -> dict[int | str, dict[str, Any]]:
    """By status, what a route may answer instead of what was asked for; `own` is what only some routes do."""
    errors: list[LeadsError | int] = [_KEY_MISSING, _KEY_INVALID]
    if scope is not None:
        errors.append(AccessDenied(f"This key doesn't have the scope {scope}.", remedy=f"Use a key with {scope}."))
    errors += own
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
            "content": {MEDIA_TYPE: {"schema": SCHEMA, "examples": by_status[status]}},
        }
        for status in sorted(by_status)
    }
    found[429]["headers"] = {"Retry-After": _RETRY_AFTER}
    # Without it FastAPI would tell of an answer of its own, which is never given.
    found["default"] = {"description": "Any other problem", "content": {MEDIA_TYPE: {"schema": SCHEMA}}}
    return found


def _example(error: LeadsError | int) -> dict[str, Any]:
    response = from_status(error, _ID, detail=_DETAILS.get(error)) if isinstance(error, int) else from_error(error, _ID)
    example: dict[str, Any] = msgspec.json.decode(bytes(response.body))
    return example


_DETAILS = {
    int(HTTPStatus.REQUEST_TIMEOUT): f"The body must be here within {bodies.BODY_S:g} seconds.",
    int(HTTPStatus.REQUEST_URI_TOO_LONG): f"Path and query are longer than {bodies.MAX_TARGET_BYTES:,} bytes.",
    int(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE): f"The headers are larger than {bodies.MAX_HEADER_BYTES:,} bytes.",
}
