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
from concurrent.futures import Future
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leads.db import deadline
from leads.db.access.uses import AdminUse
from leads.db.keys import ApiKey
from leads.errors import LeadsError, TooManyRequests, Unavailable
from serving.http import health, problems
from serving.http.access.authentication import KEY, STATIC, authenticate, check_route, is_page
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
# How long the response to a use of `admin` waits until that is recorded. Afterwards, it is recorded later.
_RECORD_S = 1.0
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
        direct: apps by method and path that requests go to directly, past the framework's own middleware and dispatch.
        timeout_s: maximum time for a whole request, in seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        runtime: Callable[[], Runtime],
        checks: Mapping[str, Callable[[bytes], object]] | None = None,
        direct: Mapping[tuple[str, str], ASGIApp] | None = None,
        timeout_s: float = REQUEST_S,
    ) -> None:
        self._app = app
        self._direct = direct or {}
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
                scope = exchange.scope
                app = self._direct.get((scope["method"], scope["path"]), self._app)
                await app(scope, receive, exchange.response.send)
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
        exchange.identify(key, parts)
        try:
            parts.rates.take(key)
        except TooManyRequests:
            parts.metrics.rate_limited("key")
            raise
        check_route(key, exchange.scope["path"])
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

    __slots__ = (
        "_began", "_sent_by", "_span", "_stages", "bytes_in", "headers", "notes", "parts", "response", "scope",
    )  # fmt: skip

    def __init__(self, scope: Scope, send: Send, parts: Runtime | None) -> None:
        self._began = time.perf_counter()
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = sent.decode() if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(12)
        scope[REQUEST_ID] = request_id
        self.scope = scope
        self.parts = parts
        self.notes = Notes(request_id)
        keep, is_last = scope["path"].startswith(STATIC), bool if parts is None else parts.is_leaving
        self.response = ResponseRecorder(send, request_id, keep=keep, before=self._record_admin, is_last=is_last)
        self._sent_by: tuple[ApiKey, Runtime] | None = None
        self.headers = _NO_HEADERS
        self.bytes_in = 0
        self._span: Span | None = None
        self._stages: Stages | None = None
        if parts is not None:
            parts.metrics.request_started()

    def identify(self, key: ApiKey, parts: Runtime) -> None:
        """Note who sent the request."""
        self._sent_by, self.notes.key_id, self.response.with_version = (key, parts), key.id, True
        parts.uses.note(key.id)
        self.scope[KEY] = key._replace(on_admin=self._on_admin) if "admin" in key.scopes else key

    def _on_admin(self, scope: str) -> None:
        """Note that the key has this scope only through `admin`. Raises Unavailable if that can't be recorded."""
        if self._sent_by is not None:
            self._sent_by[1].uses.check()
        if scope not in self.notes.admin_for:
            self.notes.admin_for += (scope,)

    async def _record_admin(self, status: int) -> None:
        """Record a use of `admin` before its response is sent."""
        stored = self._admin_use(status)
        if stored is not None:
            await asyncio.wait([asyncio.wrap_future(stored)], timeout=_RECORD_S)

    def _admin_use(self, status: int) -> Future[None] | None:
        """Have a use of `admin` recorded, once, if the request needed it."""
        sent_by, self._sent_by = self._sent_by, None
        if sent_by is None or not self.notes.admin_for:
            return None
        (key, parts), notes = sent_by, self.notes
        method, route = self.scope["method"], route_of(self.scope)
        use = AdminUse(parts.clock(), key.id, key.name, method, route, notes.admin_for, status, notes.request_id)
        return parts.uses.record(use)

    def begin_trace(self) -> None:
        if self.parts is not None and self.parts.tracing is not None:
            parent, state = self.headers.get(b"traceparent", b""), self.headers.get(b"tracestate", b"")
            self._span = self.parts.tracing.begin(self.notes, parent.decode("latin-1"), state.decode("latin-1"))
            self._stages = Stages()

    def mark(self, stage: str) -> None:
        if self._stages is not None:
            self._stages.mark(stage)

    def end(self) -> None:
        """Record metrics, the trace, the line in the access log, and a use of `admin` that got no response."""
        self._admin_use(self.response.status)
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
