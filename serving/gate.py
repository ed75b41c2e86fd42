"""What every request passes, native BentoML routes and mounted ones alike: request id, key, size, problem documents.

No key, no entry, but for the health routes. A key comes as `X-API-Key`, as `Authorization: Bearer`, or as a password in
a browser's own dialogue.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import secrets
import time
import traceback
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leads.errors import LeadsError, NotAuthenticated, TooLarge
from leads.keys import ApiKey
from serving import problems
from serving.runtime import Runtime

MAX_BODY_BYTES = 2 * 1024 * 1024
OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz"})
KEY = "leads.key"
REQUEST_ID = "leads.request_id"
_KNOWN_PATHS = OPEN_PATHS | {"/", "/metrics", "/score", "/docs.json"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger(__name__)


class Gate:
    """ASGI middleware.

    Args:
        runtime: gives the service's parts; it is called per request, after start-up.
        checks: by path, what raises InvalidInput for a bad body. For routes whose framework would answer and log in its
            own words, with what was sent.
    """

    def __init__(
        self,
        app: ASGIApp,
        runtime: Callable[[], Runtime],
        checks: Mapping[str, Callable[[bytes], object]] | None = None,
    ) -> None:
        self._app = app
        self._runtime = runtime
        self._checks = checks or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent_id = headers.get("x-request-id", "")
        request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else secrets.token_hex(12)
        scope[REQUEST_ID] = request_id
        answer = _Answer(send, request_id)
        began = time.perf_counter()
        try:
            if scope["path"] not in OPEN_PATHS:
                scope[KEY] = await self._authenticate(headers)
                receive = await self._take_body(scope, headers, receive)
            await self._app(scope, receive, answer.send)
            await answer.finish()
        except _Disconnected:
            return
        except LeadsError as error:
            # A browser asks again with the password it was given only where it is asked to: scripts and styles too.
            browser = "text/html" in headers.get("accept", "") or "sec-fetch-dest" in headers
            await answer.replace(problems.of_error(error, request_id, browser=browser), scope, receive)
        except _Unsupported:
            await answer.replace(problems.of_status(415, request_id), scope, receive)
        except Exception as error:
            _log.error("request %s failed: %s", request_id, _trace(error))
            await answer.replace(problems.of_status(500, request_id), scope, receive)
        seconds = time.perf_counter() - began
        self._runtime().metrics.request(scope["method"], route_of(scope), answer.status, seconds)

    async def _authenticate(self, headers: Headers) -> ApiKey:
        text = _sent_key(headers)
        if text is None:
            raise NotAuthenticated("There is no API key.", remedy="Send one as X-API-Key; leads keys create makes one.")
        runtime = self._runtime()
        known = runtime.keys.recall(text)
        return known if known is not None else await runtime.run(runtime.keys.verify, text)

    async def _take_body(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Take the whole body in, up to the limit, and hand it on in one piece."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return receive
        body = await _read_body(headers, receive)
        if scope["path"] in self._checks:
            self._checks[scope["path"]](body)
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return replay


class _Answer:
    """Passes an answer on with the request's id, but turns errors that are no problem documents into such."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._body: bytearray | None = None
        self.started = False
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            self.status = message["status"]
            if self.status >= 400 and not headers.get("content-type", "").startswith(problems.MEDIA_TYPE):
                self._body = bytearray()
                return
            headers["X-Request-Id"] = self._request_id
            self.started = True
        elif self._body is not None:
            self._body += message.get("body", b"")[:65_536]
            return
        await self._send(message)

    async def finish(self) -> None:
        """Send the problem document of an error that was held back."""
        if self._body is not None:
            response = problems.of_foreign(self.status, bytes(self._body), self._request_id)
            self.status = response.status_code
            await self._respond(response, {"type": "http"}, _nothing)

    async def replace(self, response: Response, scope: Scope, receive: Receive) -> None:
        """Answer with `response`, unless an answer is on its way already."""
        if not self.started:
            self.status = response.status_code
            await self._respond(response, scope, receive)

    async def _respond(self, response: Response, scope: Scope, receive: Receive) -> None:
        self.started = True
        response.headers["X-Request-Id"] = self._request_id
        await response(scope, receive, self._send)


class _Disconnected(Exception):
    """The client went away before its request was whole."""


class _Unsupported(Exception):
    """The body is not said to be JSON."""


def route_of(scope: Scope) -> str:
    """The template of the route that answered, for labels; `other` when none did."""
    route = scope.get("route")
    if isinstance(route, BaseRoute) and not isinstance(route, Mount):
        return f"{scope.get('root_path', '')}{getattr(route, 'path', '')}"
    path: str = scope["path"]
    return path if path in _KNOWN_PATHS else "other"


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    """Raises TooLarge when the body is announced or turns out to be larger than the limit."""
    announced = headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    if headers.get("content-type", "application/json").split(";")[0].strip().lower() != "application/json":
        raise _Unsupported
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(body)


def _too_large() -> TooLarge:
    return TooLarge(f"The body is larger than {MAX_BODY_BYTES:,} bytes.", remedy="Send smaller batches.")


def _sent_key(headers: Headers) -> str | None:
    if "x-api-key" in headers:
        return headers["x-api-key"]
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return None


def _trace(error: BaseException) -> str:
    """Kind and places of an error. Its message is left out: it may quote what was sent."""
    places = [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__} in {' > '.join(places[-8:])}"


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
