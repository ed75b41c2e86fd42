"""Finishing a request: sending the response, the route it is counted under, and its line in the access log."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.types import Message, Receive, Scope, Send

from leads_client.version import VERSION, VERSION_HEADER
from serving.http import health, problems
from serving.observe import logs
from serving.observe.request_notes import Notes

# Nobody received a response: the client disconnected, or the request was cancelled.
NO_RESPONSE = 499
_KNOWN_PATHS = health.ALIVE | {health.READY, "/", "/metrics", "/score", "/docs.json"}
_PROBLEM = problems.MEDIA_TYPE.encode()
# No other site may show a page of ours in a frame, where its clicks could be stolen.
_CSP, _NO_FRAMES = b"content-security-policy", b"frame-ancestors 'none'"
_NO_SNIFFING, _NO_STORE = (b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")
_MAX_FOREIGN = 65_536
_VERSION = (VERSION_HEADER.lower().encode(), VERSION.encode())


class ResponseRecorder:
    """Sends responses with the request's id, and replaces errors of other libraries by problem documents.

    `with_version`: add the API's version, which only callers with a valid key see.

    Args:
        keep: whether browsers and proxies may store the response.
        before: awaited before a response is sent, with its status.
        is_last: whether this is the last response on its connection; asked when it starts.
    """

    __slots__ = (
        "_before", "_body", "_is_last", "_keep", "_own", "_request_id", "_send", "_started", "bytes_out", "status",
        "with_version",
    )  # fmt: skip

    def __init__(
        self,
        send: Send,
        request_id: str,
        *,
        keep: bool = False,
        before: Callable[[int], Awaitable[None]] | None = None,
        is_last: Callable[[], bool] = bool,
    ) -> None:
        self._before = before
        self.with_version = False
        self._send = send
        self._request_id = request_id
        self._keep = keep
        self._is_last = is_last
        self._body: bytearray | None = None
        self._own = False
        self._started = False
        self.status = NO_RESPONSE
        self.bytes_out = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            status: int = 404 if _redirects_away(message) else message["status"]
            if status >= 400 and not self._own and not _is_problem(message):
                self.status, self._body = status, bytearray()
                return
            if self._before is not None:
                await self._before(status)
            self.status, self._started = status, True
            message["headers"] = [
                *secured(message.get("headers", ()), keep=self._keep),
                (b"x-request-id", self._request_id.encode()),
                *((_VERSION,) if self.with_version else ()),
            ]
            if self._is_last():
                message["headers"].append((b"connection", b"close"))
        elif self._body is not None:
            self._body += message.get("body", b"")[:_MAX_FOREIGN]
            return
        else:
            self.bytes_out += len(message.get("body", b""))
        await self._send(message)

    async def finish(self) -> None:
        """Send the problem document for an error response that was held back."""
        if self._body is not None:
            response = problems.from_response(self.status, bytes(self._body), self._request_id)
            await self.replace(response, {"type": "http"}, _nothing)

    async def replace(self, response: Response, scope: Scope, receive: Receive) -> None:
        """Send `response`, unless another response has already started."""
        if not self._started:
            self._body, self._own = None, True
            await response(scope, receive, self.send)


def as_json(out: msgspec.Struct) -> Response:
    """A successful response with this body."""
    return Response(msgspec.json.encode(out), media_type="application/json")


def secured(headers: Iterable[tuple[bytes, bytes]], *, keep: bool = False) -> list[tuple[bytes, bytes]]:
    """The headers, with those that tell browsers not to frame the response, guess its type or, unless `keep`, store it.

    Nearly every response contains personal text: texts, reasons, names of reviewers.
    """
    given = list(headers)
    policy = b"; ".join([value for name, value in given if name == _CSP] + [_NO_FRAMES])
    ours = [_NO_SNIFFING, (_CSP, policy)] if keep else [_NO_SNIFFING, (_CSP, policy), _NO_STORE]
    names = {name for name, _ in ours}
    return [pair for pair in given if pair[0] not in names] + ours


def route_of(scope: Scope) -> str:
    """The template of the matched route, for labels; `other` if no route matched."""
    route = scope.get("route")
    if isinstance(route, BaseRoute) and not isinstance(route, Mount):
        return f"{scope.get('root_path', '')}{getattr(route, 'path', '')}"
    path: str = scope["path"]
    return path if path in _KNOWN_PATHS else "other"


def log_access(
    notes: Notes, method: str, route: str, response: ResponseRecorder, seconds: float, bytes_in: int
) -> None:
    """Write the request's line in the access log. It contains no path, query, text or key, only the key's id."""
    fields: dict[str, Any] = {
        "method": method if method.isascii() and method.isalpha() and len(method) < 16 else "other",
        "route": route,
        "status": response.status,
        "duration_ms": round(seconds * 1e3, 3),
        "bytes_in": bytes_in,
        "bytes_out": response.bytes_out,
    }
    optional = (
        ("key", notes.key_id),
        ("admin", notes.admin_for or None),
        ("subjects", notes.subjects),
        ("trace_id", notes.trace_id),
    )
    for name, value in optional:
        if value is not None:
            fields[name] = value
    logs.access(fields, level=logging.ERROR if response.status >= 500 else logging.INFO)


def _is_problem(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(_PROBLEM) for name, value in message.get("headers", ()))


def _redirects_away(message: Message) -> bool:
    """Whether Starlette redirects a path with a slash too many to the host that the client named, whatever that is."""
    if not 300 <= message["status"] < 400:
        return False
    return any(name == b"location" and b"://" in value for name, value in message.get("headers", ()))


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
