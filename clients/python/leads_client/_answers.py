"""Turns HTTP responses into result structs or errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import httpx
import msgspec

from leads_client._calls import ApiCall
from leads_client._retries import is_disconnect, is_distrust, retry_after_s
from leads_client.errors import (
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
from leads_client.schemas.base import RefOut, SubjectIn
from leads_client.schemas.events import Accepted
from leads_client.schemas.scores import ResultOut, ScoresOut, UnscoredOut
from leads_client.version import VERSION_HEADER, mismatch

T = TypeVar("T")
KINDS: dict[int, type[LeadsError]] = {
    401: NotAuthenticated,
    403: AccessDenied,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    413: TooLarge,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
# Kinds of a status, by the end of the problem document's type.
TYPES: dict[str, type[LeadsError]] = {
    "lead-claimed": LeadClaimed,
    "already-decided": AlreadyDecided,
    "not-claimed": NotClaimed,
    "lease-expired": LeaseExpired,
    "no-model": NoModel,
}
_IN_LIST = re.compile(r"/(subjects|items|signals|plays|events)/(\d+)(.*)", re.DOTALL)


class Fault(msgspec.Struct, frozen=True):
    """One error at one place in the request."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True):
    """A problem document (RFC 9457)."""

    title: str
    detail: str
    errors: tuple[Fault, ...] = ()
    request_id: str | None = None
    type: str = ""


class Reply(NamedTuple):
    """The last response to a request, and how long it was retried; None if it isn't worth a retry."""

    response: httpx.Response
    gave_up: str | None = None


def read(call: ApiCall[T], reply: Reply) -> T:
    """The body of a successful response.

    Raises:
        LeadsError: the response is an error, or doesn't come from this API.
    """
    if reply.response.is_success:
        return _decode(call, reply.response)
    raise error_of(call, reply)


class Unscored(NamedTuple):
    """The result of a call that scored no subject: its results, and the error to raise if no other call scored any."""

    error: LeadsError
    results: tuple[ResultOut, ...]


def read_part(call: ApiCall[ScoresOut], reply: Reply) -> ScoresOut | Unscored:
    """The result of one of the calls that a long list of subjects was split into, with pointers into the whole list.

    Raises:
        LeadsError: the error is not about single subjects.
    """
    if reply.response.is_success:
        scored = _decode(call, reply.response)
        return msgspec.structs.replace(scored, results=tuple(_rebased_result(x, call.first) for x in scored.results))
    error, results = error_of(call, reply), _unscored(call, reply.response)
    if results is None:
        raise error
    return Unscored(error, results)


def join_scores(parts: Sequence[ScoresOut | Unscored]) -> ScoresOut:
    """Join the parts: results in the order of all subjects, `at` of the first part with scores.

    Raises:
        LeadsError: no subject could be scored.
    """
    scored = [part for part in parts if isinstance(part, ScoresOut)]
    if not scored:
        raise next(part.error for part in parts if isinstance(part, Unscored))
    return ScoresOut(at=scored[0].at, results=tuple(result for part in parts for result in part.results))


def join_accepted(results: Sequence[Accepted]) -> Accepted:
    return Accepted(
        accepted=sum(x.accepted for x in results),
        duplicates=sum(x.duplicates for x in results),
        event_ids=tuple(id_ for x in results for id_ in x.event_ids),
    )


def add_accepted_count(error: LeadsError, call: ApiCall[Any]) -> None:
    """When a call of several fails, add to its error how many entries the calls before it have delivered."""
    if call.first:
        _add(error, f"The first {call.first:,} entries were accepted; continue after them.")


def unreachable(call: ApiCall[Any], error: httpx.RequestError, gave_up: str | None = None) -> Unavailable:
    """The error for a request without a response."""
    what, remedy = "can't be reached", "Check the address and that the service is running (leads serve)."
    if isinstance(error, httpx.TimeoutException):
        what = "did not respond in time"
    elif is_distrust(error):
        what = "has a certificate that isn't trusted"
        remedy = "Check the address. SSL_CERT_FILE names the certificates to trust."
    elif is_disconnect(error):
        what = "closed the connection without a response"
    elif not isinstance(error, httpx.TransportError):
        what = "sent a response that can't be decoded"
    made = Unavailable(f"{call.method} {call.path}: the service {what}.", remedy=remedy)
    _add(made, gave_up)
    return made


def error_of(call: ApiCall[Any], reply: Reply) -> LeadsError:
    """The error for a response's status, with the details from its problem document."""
    response = reply.response
    status = response.status_code
    kind = KINDS.get(status) or (InvalidInput if 400 <= status < 500 else LeadsError)
    problem = _problem(response)
    if problem is None:
        message = f"{call.method} {call.path} returned {status} without a problem document."
        error = kind(message, remedy=_CHECK_ADDRESS)
    else:
        fault = problem.errors[0] if problem.errors else None
        message, remedy = problem.detail, None
        if fault and message.startswith(f"{fault.detail} "):
            message, remedy = fault.detail, message[len(fault.detail) + 1 :]
        elif fault and message != fault.detail:
            message = f"{message} {fault.detail}"
        kind = TYPES.get(problem.type.rpartition(":")[2], kind)
        error = kind(message, field=_rebased(fault.pointer, call.first) if fault else None, remedy=remedy)
    if isinstance(error, TooManyRequests):
        error.retry_after_s = max(1, round(retry_after_s(response) or 1))
    error.request_id = (problem.request_id if problem else None) or response.headers.get("x-request-id")
    _add(error, reply.gave_up)
    return error


def _add(error: LeadsError, sentence: str | None) -> None:
    """Add a sentence at the end of the error's text."""
    if sentence is not None:
        error.remedy = f"{error.remedy} {sentence}" if error.remedy else sentence


_CHECK_ADDRESS = "Check the address, and any proxy between here and the service."


def _decode(call: ApiCall[T], response: httpx.Response) -> T:
    try:
        return msgspec.json.decode(response.content, type=call.result)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unavailable(
            f"{call.method} {call.path} returned {response.status_code} with an unexpected body.",
            remedy=mismatch(response.headers.get(VERSION_HEADER, "")) or _CHECK_ADDRESS,
        ) from error


def _problem(response: httpx.Response) -> Problem | None:
    try:
        return msgspec.json.decode(response.content, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _unscored(call: ApiCall[ScoresOut], response: httpx.Response) -> tuple[ResultOut, ...] | None:
    """Per-subject results from the errors of a failed call; None if an error is not about a single subject."""
    problem = _problem(response)
    if problem is None or not problem.errors:
        return None
    by_place: dict[int, list[UnscoredOut]] = {}
    for fault in problem.errors:
        found = _IN_LIST.fullmatch(fault.pointer)
        if found is None:
            return None
        entry = UnscoredOut(
            harm=None,
            status=response.status_code,
            title=problem.title,
            detail=fault.detail,
            pointer=_rebased(fault.pointer, call.first),
        )
        by_place.setdefault(int(found[2]), []).append(entry)
    sent = msgspec.json.decode(call.body or b"{}", type=_Sent).subjects
    return tuple(
        ResultOut(subject=_readable(raw), scores=(), errors=tuple(by_place.get(place, ())))
        for place, raw in enumerate(sent)
    )


class _Sent(msgspec.Struct):
    subjects: tuple[msgspec.Raw, ...] = ()


def _readable(raw: msgspec.Raw) -> RefOut | None:
    """The subject as named in responses; None if it is invalid."""
    try:
        parsed = msgspec.json.decode(raw, type=SubjectIn)
    except msgspec.ValidationError:
        return None
    return RefOut(parsed.id, parsed.type_id)


def _rebased_result(result: ResultOut, first: int) -> ResultOut:
    if not first or not result.errors:
        return result
    errors = [msgspec.structs.replace(x, pointer=_rebased(x.pointer, first)) for x in result.errors]
    return msgspec.structs.replace(result, errors=tuple(errors))


def _rebased(pointer: str, first: int) -> str:
    """Convert a pointer into a call's list to a pointer into the caller's list."""
    found = _IN_LIST.fullmatch(pointer)
    return f"/{found[1]}/{int(found[2]) + first}{found[3]}" if found else pointer
