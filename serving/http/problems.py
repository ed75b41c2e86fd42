"""Problem documents (RFC 9457): what is wrong, where, what to do next, and the request's id.

Of the request they repeat only field names and ids, never texts or keys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

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

MEDIA_TYPE = "application/problem+json"


class Detail(NamedTuple):
    """What is wrong at one place of the request."""

    pointer: str
    detail: str


def from_error(error: LeadsError, request_id: str, *, page: bool = False) -> Response:
    """Create the problem document of an error. `page`: in response to a request for one of the API's pages."""
    text = error.message if error.remedy is None else f"{error.message} {error.remedy}"
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        text = "The service is not configured correctly. See its log."
    errors = [Detail(*fault) for fault in error.faults if fault.field.startswith("/")]
    response = _response(error.status, _slug(type(error)), error.title, text, errors, request_id)
    if isinstance(error, NotAuthenticated):
        # On `Basic`, browsers ask for a password and send it from then on, even for scripts and styles.
        response.headers["WWW-Authenticate"] = 'Basic realm="API key as password"' if page else "Bearer"
    return _with_retry_after(response, error)


def from_status(status: int, request_id: str, *, detail: str | None = None, errors: Sequence[Detail] = ()) -> Response:
    """Create the problem document of an HTTP status, of the same type as that of an error with this status."""
    kind = _KINDS.get(status)
    if kind is not None:
        text = detail or _WHAT_NEXT.get(status, kind.title)
        return _response(status, _slug(kind), kind.title, text, errors, request_id)
    known = HTTPStatus(status) if status in set(HTTPStatus) else HTTPStatus.INTERNAL_SERVER_ERROR
    slug = known.phrase.lower().replace(" ", "-").replace("'", "")
    return _response(
        status, slug, known.phrase, detail or _WHAT_NEXT.get(status, known.description), errors, request_id
    )


def from_errors(error: LeadsError, errors: Sequence[Detail], request_id: str) -> Response:
    """Create the problem document of a scoring request without any score. `error` determines status and title."""
    response = _response(error.status, _slug(type(error)), error.title, "Nothing could be scored.", errors, request_id)
    return _with_retry_after(response, error)


def _with_retry_after(response: Response, error: LeadsError) -> Response:
    if isinstance(error, TooManyRequests | Unavailable):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def from_response(status: int, body: bytes, request_id: str) -> Response:
    """Create a problem document from an error response of BentoML or Starlette, keeping its error locations."""
    try:
        faults = msgspec.json.decode(body, type=_Foreign).detail
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return from_status(status, request_id)
    errors = [Detail("".join(f"/{part}" for part in fault.loc), fault.msg) for fault in faults]
    status = 422 if errors and status == 400 else status
    return from_status(status, request_id, detail="The input is invalid." if errors else None, errors=errors)


class _Fault(msgspec.Struct):
    loc: tuple[str | int, ...]
    msg: str


class _Foreign(msgspec.Struct):
    detail: tuple[_Fault, ...] = ()


_KINDS: dict[int, type[LeadsError]] = {
    kind.status: kind
    for kind in (
        InvalidInput, TooLarge, NotAuthenticated, AccessDenied, NotFound, Conflict, TooManyRequests, Unavailable,
    )
}  # fmt: skip
_WHAT_NEXT = {
    404: "Route not found. See GET /v1/openapi.json.",
    405: "Method not allowed for this route. See GET /v1/openapi.json.",
    415: "Send JSON with Content-Type: application/json.",
    500: "Internal error. Search the service's log for this request's id.",
    503: "Not ready: no model version is published, or it is being loaded or fetched again.",
}


def _response(status: int, slug: str, title: str, detail: str, errors: Sequence[Detail], request_id: str) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:lead-serving:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": [{"pointer": x.pointer, "detail": x.detail} for x in errors],
        "request_id": request_id,
    }
    return Response(msgspec.json.encode(body), status, media_type=MEDIA_TYPE)


def _slug(kind: type[LeadsError]) -> str:
    """Convert `NotFound` to `not-found`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()
