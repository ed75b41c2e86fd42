"""What comes back: a struct, or an error of the one tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import httpx
import msgspec

from leads_client._calls import Call
from leads_client._retries import retry_after_s
from leads_client.errors import (
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
from leads_client.schemas.base import RefOut, SubjectIn
from leads_client.schemas.events import Accepted
from leads_client.schemas.scores import ResultOut, ScoresOut, UnscoredOut

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
_IN_LIST = re.compile(r"/(subjects|items|signals|plays)/(\d+)(.*)", re.DOTALL)


class Fault(msgspec.Struct, frozen=True):
    """One fault at one place of the request."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True):
    """A problem document (RFC 9457)."""

    title: str
    detail: str
    errors: tuple[Fault, ...] = ()
    request_id: str | None = None


def read(call: Call[T], response: httpx.Response) -> T:
    """The body of a good answer.

    Raises:
        LeadsError: the answer is a problem, or isn't the API's.
    """
    if response.is_success:
        return _decode(call, response)
    raise error_of(call, response)


class Unscored(NamedTuple):
    """Of a call not one of whose subjects could be scored: what is raised when that goes for all, and its results."""

    error: LeadsError
    results: tuple[ResultOut, ...]


def read_part(call: Call[ScoresOut], response: httpx.Response) -> ScoresOut | Unscored:
    """The answer to one of the calls that score a list, its pointers leading into the whole list.

    Raises:
        LeadsError: the problem is not about the subjects one by one.
    """
    if response.is_success:
        scored = _decode(call, response)
        return msgspec.structs.replace(scored, results=tuple(_moved(x, call.first) for x in scored.results))
    error, results = error_of(call, response), _unscored(call, response)
    if results is None:
        raise error
    return Unscored(error, results)


def join_scores(parts: Sequence[ScoresOut | Unscored]) -> ScoresOut:
    """One answer: results in the order of all subjects, `at` of the first part that was scored.

    Raises:
        LeadsError: no subject could be scored.
    """
    scored = [part for part in parts if isinstance(part, ScoresOut)]
    if not scored:
        raise next(part.error for part in parts if isinstance(part, Unscored))
    return ScoresOut(at=scored[0].at, results=tuple(result for part in parts for result in part.results))


def join_accepted(answers: Sequence[Accepted]) -> Accepted:
    return Accepted(
        accepted=sum(x.accepted for x in answers),
        duplicates=sum(x.duplicates for x in answers),
        event_ids=tuple(id_ for x in answers for id_ in x.event_ids),
    )


def tell_what_is_kept(error: LeadsError, call: Call[Any]) -> None:
    """Let the error of one of several calls that are made in turn say that those before it are done."""
    if call.first:
        kept = f"The first {call.first:,} are accepted: go on from there."
        error.remedy = f"{error.remedy} {kept}" if error.remedy else kept


def unreachable(call: Call[Any], error: httpx.RequestError) -> Unavailable:
    """What stands for an answer that didn't come."""
    what = "didn't answer in time" if isinstance(error, httpx.TimeoutException) else "can't be reached"
    return Unavailable(
        f"{call.method} {call.path}: the service {what}.", remedy="Check the address, and that it runs: leads serve."
    )


def error_of(call: Call[Any], response: httpx.Response) -> LeadsError:
    """The error that a status stands for, with what the problem document says of it."""
    status = response.status_code
    kind = KINDS.get(status) or (InvalidInput if 400 <= status < 500 else LeadsError)
    problem = _problem(response)
    if problem is None:
        error = kind(f"{call.method} {call.path} was answered {status}, without a problem document.", remedy=_FOREIGN)
    else:
        fault = problem.errors[0] if problem.errors else None
        message, remedy = problem.detail, None
        if fault and message.startswith(f"{fault.detail} "):
            message, remedy = fault.detail, message[len(fault.detail) + 1 :]
        elif fault and message != fault.detail:
            message = f"{message} {fault.detail}"
        error = kind(message, field=_rebased(fault.pointer, call.first) if fault else None, remedy=remedy)
    if isinstance(error, TooManyRequests):
        error.retry_after_s = max(1, round(retry_after_s(response) or 1))
    error.request_id = (problem.request_id if problem else None) or response.headers.get("x-request-id")
    return error


_FOREIGN = "Check the address, and what stands between here and the service."


def _decode(call: Call[T], response: httpx.Response) -> T:
    try:
        return msgspec.json.decode(response.content, type=call.answer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unavailable(
            f"{call.method} {call.path} was answered {response.status_code} with what is no such answer.",
            remedy=_FOREIGN,
        ) from error


def _problem(response: httpx.Response) -> Problem | None:
    try:
        return msgspec.json.decode(response.content, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _unscored(call: Call[ScoresOut], response: httpx.Response) -> tuple[ResultOut, ...] | None:
    """The results of a call whose problem is about its subjects one by one; None when it is about the whole call."""
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
    """The subject as the service names it in its answers; None when it couldn't read it."""
    try:
        one = msgspec.json.decode(raw, type=SubjectIn)
    except msgspec.ValidationError:
        return None
    return RefOut(one.id, one.type_id)


def _moved(result: ResultOut, first: int) -> ResultOut:
    if not first or not result.errors:
        return result
    moved = [msgspec.structs.replace(x, pointer=_rebased(x.pointer, first)) for x in result.errors]
    return msgspec.structs.replace(result, errors=tuple(moved))


def _rebased(pointer: str, first: int) -> str:
    """A pointer into a call's list as one into the caller's."""
    found = _IN_LIST.fullmatch(pointer)
    return f"/{found[1]}/{int(found[2]) + first}{found[3]}" if found else pointer
