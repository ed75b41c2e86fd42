"""Every error as a problem document (RFC 9457): what was wrong, where, what to do next, and the request's id.

Nothing that was sent is repeated but names of fields and ids; no text, no key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from leads.errors import LeadsError, NotAuthenticated, TooManyRequests

MEDIA_TYPE = "application/problem+json"


class Detail(NamedTuple):
    """One fault at one place of the request."""

    pointer: str
    detail: str


def from_error(error: LeadsError, request_id: str, *, browser: bool = False) -> Response:
    """The problem document of one of our errors."""
    text = error.message if error.remedy is None else f"{error.message} {error.remedy}"
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        text = "The service is set up wrongly. Its log says more."
    errors = [Detail(error.field, error.message)] if error.field and error.field.startswith("/") else []
    answer = _response(error.status, _slug(error), error.title, text, errors, request_id)
    if isinstance(error, NotAuthenticated):
        # A browser asks its user for a password then, which lets people read the API's pages with a key.
        answer.headers["WWW-Authenticate"] = 'Basic realm="API key as password"' if browser else "Bearer"
    if isinstance(error, TooManyRequests):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def from_status(status: int, request_id: str, *, detail: str | None = None, errors: Sequence[Detail] = ()) -> Response:
    """The problem document of an HTTP status."""
    known = HTTPStatus(status) if status in set(HTTPStatus) else HTTPStatus.INTERNAL_SERVER_ERROR
    slug = known.phrase.lower().replace(" ", "-").replace("'", "")
    return _response(
        status, slug, known.phrase, detail or _WHAT_NEXT.get(status, known.description), errors, request_id
    )


def from_errors(error: LeadsError, errors: Sequence[Detail], request_id: str) -> Response:
    """The problem document of several faults, titled like the first."""
    return _response(error.status, _slug(error), error.title, "Nothing could be scored.", errors, request_id)


def from_response(status: int, body: bytes, request_id: str) -> Response:
    """The problem document of an error that BentoML or Starlette answered; what it says of places is kept."""
    try:
        faults = msgspec.json.decode(body, type=_Foreign).detail
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return from_status(status, request_id)
    errors = [Detail("".join(f"/{part}" for part in fault.loc), fault.msg) for fault in faults]
    status = 422 if errors and status == 400 else status
    return from_status(status, request_id, detail="The input is not valid." if errors else None, errors=errors)


class _Fault(msgspec.Struct):
    loc: tuple[str | int, ...]
    msg: str


class _Foreign(msgspec.Struct):
    detail: tuple[_Fault, ...] = ()


_WHAT_NEXT = {
    404: "There is no such route. GET /v1/openapi.json lists them.",
    405: "This route doesn't take that method. GET /v1/openapi.json lists them.",
    415: "Send JSON with Content-Type: application/json.",
    500: "Something went wrong here. The log has more under this request's id.",
    503: "Not ready: a published model version is not loaded yet, or none is published.",
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


def _slug(error: LeadsError) -> str:
    """`NotFound` as `not-found`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
