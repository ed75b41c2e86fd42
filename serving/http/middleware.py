"""Middleware for every request, to BentoML's native routes and to mounted ones.

It assigns the request id, enforces limits on size, time and rate, checks the key, and sends errors as problem
documents. At the end it records metrics, a line in the access log, and a trace. Every route needs a key except the
health routes, which are handled here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leads.db import deadline
from leads.errors import LeadsError, TooManyRequests, Unavailable
from serving.http import health, problems
from serving.http.access.authentication import KEY, STATIC, authenticate, is_page
from serving.http.bodies import Disconnected, Headers, Refused, announces_body, headers_of, read_body
from serving.http.responses import NO_RESPONSE, ResponseRecorder, log_access, route_of
from serving.observe import request_notes
from serving.observe.logs import trace_of
from serving.observe.request_notes import Notes
from serving.runtime import Runtime
from serving.scoring.stages import Stages

if TYPE_CHECKING:
    from opentelemetry.trace import Span

OPEN_PATHS = health.ALIVE | {health.READY}
REQUEST_ID = "leads.request_id"
# Where a request's scope holds its body, and what the check of the body returned.
CHECKED = "leads.checked"
BODY = "leads.body"
# Longer than the timeouts of all parts, and shorter than BentoML's, whose response isn't a problem document.
REQUEST_S = 20.0
_LONGER_S = 3.0
_READING = frozenset(("GET", "HEAD", "OPTIONS"))
_NO_HEADERS: Headers = {}
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger(__name__)


class ApiMiddleware:
    """ASGI middleware that every request passes through.

    Args:
        runtime: returns the runtime; called per request. Raises Unavailable while the service isn't running.
        checks: by path, a function that parses the body and raises InvalidInput if it is invalid. For routes whose
            framework would otherwise repeat the input in its response and log, or accept other numbers.
        timeout_s: maximum time for a whole request, in seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        runtime: Callable[[], Runtime],
        checks: Mapping[str, Callable[[bytes], object]] | None = None,
        timeout_s: float = REQUEST_S,
    ) -> None:
        self._app = app
        self._runtime = runtime
        self._checks = checks or {}
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._parts())
        token = request_notes.set_current(exchange.notes)
        until = deadline.set_deadline(self._timeout_s)
        try:
            await self._handle(exchange, receive)
        finally:
            # Also for cancelled requests, so that they don't stay counted as in progress.
            exchange.end()
            deadline.reset(until)
            request_notes.reset_current(token)

    def _parts(self) -> Runtime | None:
        try:
            return self._runtime()
        except Unavailable:
            return None

    async def _handle(self, exchange: _Exchange, receive: Receive) -> None:
        scope, response, request_id = exchange.scope, exchange.response, exchange.notes.request_id
        try:
            if scope["path"] in OPEN_PATHS and scope["method"] in ("GET", "HEAD"):
                await response.replace(health.respond(scope["path"], exchange.parts), scope, receive)
                return
            await self._respond(exchange, receive)
        except Disconnected:
            # Nobody reads this response, but BentoML's timeout waits for one.
            await response.replace(Response(status_code=NO_RESPONSE), scope, receive)
        except LeadsError as error:
            await response.replace(problems.from_error(error, request_id, page=is_page(scope)), scope, receive)
        except Refused as error:
            refusal = problems.from_status(error.status, request_id, detail=error.detail)
            refusal.headers.update(error.headers)
            await response.replace(refusal, scope, receive)
        except Exception as error:
            _log.error("request %s failed: %s", request_id, trace_of(error))
            await response.replace(problems.from_status(500, request_id), scope, receive)

    async def _respond(self, exchange: _Exchange, receive: Receive) -> None:
        """Admit the request and send its response, within the timeout.

        Raises:
            Unavailable: it took too long.
        """
        try:
            # The database is given up earlier, so that work that has begun can still say how it ended.
            async with asyncio.timeout(self._timeout_s + _LONGER_S) as limit:
                receive = await self._admit(exchange, receive)
                await self._app(exchange.scope, receive, exchange.response.send)
                await exchange.response.finish()
        except TimeoutError:
            if not limit.expired():
                raise
            raise Unavailable(
                f"The request took longer than {self._timeout_s:g} seconds.", remedy="Try again."
            ) from None

    async def _admit(self, exchange: _Exchange, receive: Receive) -> Receive:
        """Check the key and its rate limit, and read the whole body, up to the size limit."""
        exchange.headers = headers_of(exchange.scope)
        parts = self._runtime() if exchange.parts is None else exchange.parts
        exchange.begin_trace()
        key = await authenticate(exchange.scope, exchange.headers, parts)
        exchange.notes.key_id, exchange.scope[KEY] = key.id, key
        try:
            parts.rates.take(key)
        except TooManyRequests:
            parts.metrics.rate_limited("key")
            raise
        exchange.mark("auth")
        method = exchange.scope["method"]
        if method in _READING or (method != "POST" and not announces_body(exchange.headers)):
            return receive
        body = await read_body(exchange.headers, receive)
        exchange.bytes_in, exchange.scope[BODY] = len(body), body
        parts.rates.charge(key, len(body))
        check = self._checks.get(exchange.scope["path"])
        if check is not None:
            exchange.scope[CHECKED] = check(body)
        exchange.mark("body")
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return replay


class _Exchange:
    """A request and its response while they pass through the middleware."""

    __slots__ = ("_began", "_span", "_stages", "bytes_in", "headers", "notes", "parts", "response", "scope")

    def __init__(self, scope: Scope, send: Send, parts: Runtime | None) -> None:
        self._began = time.perf_counter()
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = sent.decode() if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(12)
        scope[REQUEST_ID] = request_id
        self.scope = scope
        self.parts = parts
        self.notes = Notes(request_id)
        self.response = ResponseRecorder(send, request_id, keep=scope["path"].startswith(STATIC))
        self.headers = _NO_HEADERS
        self.bytes_in = 0
        self._span: Span | None = None
        self._stages: Stages | None = None
        if parts is not None:
            parts.metrics.request_started()

    def begin_trace(self) -> None:
        if self.parts is not None and self.parts.tracing is not None:
            parent, state = self.headers.get(b"traceparent", b""), self.headers.get(b"tracestate", b"")
            self._span = self.parts.tracing.begin(self.notes, parent.decode("latin-1"), state.decode("latin-1"))
            self._stages = Stages()

    def mark(self, stage: str) -> None:
        if self._stages is not None:
            self._stages.mark(stage)

    def end(self) -> None:
        """Record metrics, the trace and the line in the access log."""
        seconds, notes, response = time.perf_counter() - self._began, self.notes, self.response
        method, route = self.scope["method"], route_of(self.scope)
        if self.parts is not None:
            self.parts.metrics.request_finished(method, route, response.status, seconds)
            self.parts.metrics.observe_stages(notes.stages)
            if self._span is not None and self.parts.tracing is not None:
                stages = self._stages.done if self._stages else ()
                self.parts.tracing.end(self._span, notes, stages, method=method, route=route, status=response.status)
        if response.status >= 400 or route not in OPEN_PATHS:
            log_access(notes, method, route, response, seconds, self.bytes_in)
