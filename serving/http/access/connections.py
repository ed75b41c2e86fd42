"""Limits on what a connection may send before there is a request whose key can be checked.

uvicorn's parser collects header lines until the last one has come, however many there are and however long that takes,
and keeps reading a body that nobody wants. Here a connection may send a limited number of bytes and of header lines
without completing the headers or sending a part of a body, and it has a deadline for the headers and, once it has its
response, for the rest of the request. Only a limited number of connections may stay open without a valid key.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.http import problems
from serving.http.access.authentication import KEY
from serving.http.bodies import HEADERS_TOO_LARGE, MAX_HEADER_BYTES, MAX_HEADER_LINES, MAX_TARGET_BYTES
from serving.http.responses import secured
from serving.observe.metrics import process_metrics

# Request line and headers, with their separators. Larger ones than the API accepts, so that it can say so.
MAX_HEAD_BYTES = 2 * (MAX_HEADER_BYTES + MAX_TARGET_BYTES)
HEAD_S = 10.0
# For the rest of a request that already has its response, for example because its key is invalid.
REST_S = 5.0
MAX_WITHOUT_KEY = 512
# What is parsed at once, so that little is read beyond a limit.
_PIECE_BYTES = 8 * 1024


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for HTTP/1.1 with these limits. It belongs to the event loop."""

    # Connections that haven't sent a valid key, oldest first.
    without_key: ClassVar[dict[LimitedProtocol, None]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # No route is a WebSocket, and another protocol would not have these limits.
        self.ws_protocol_class = None
        # Since the headers were complete or a part of a body came.
        self._bytes = self._lines = 0
        self._in_head = self._in_body = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.without_key[self] = None
        if len(self.without_key) > MAX_WITHOUT_KEY:
            self._close_oldest()
        self._end_in(HEAD_S, self._on_slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self.without_key.pop(self, None)
        self._no_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE_BYTES):
            if self.transport.is_closing():
                return
            piece = data[start : start + _PIECE_BYTES]
            self._bytes += len(piece)
            super().data_received(piece)
            if self._bytes > MAX_HEAD_BYTES or self._lines > MAX_HEADER_LINES:
                self._refuse("head_size", 431, HEADERS_TOO_LARGE)
        # Empty lines between requests aren't a request's beginning for the parser.
        if self._deadline is None and self._idle:
            self._end_in(HEAD_S, self._on_slow_head)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._lines = True, 0
        if self._idle:
            self._end_in(HEAD_S, self._on_slow_head)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._lines += 1

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head, self._in_body = False, True
        self._bytes = self._lines = 0
        self._no_deadline()

    def on_body(self, body: bytes) -> None:
        self._bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body, self._bytes = False, 0
        if self._idle:
            self._no_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._has_key:
            self.without_key.pop(self, None)
        if self._idle and self._in_body:
            self._end_in(REST_S, self._on_slow_rest)
        elif self._idle and self._in_head:
            self._end_in(HEAD_S, self._on_slow_head)

    def send_400_response(self, msg: str) -> None:
        self._refuse("malformed", 400, msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: the request is served without the upgrade, so that nobody can fill the log."""

    @property
    def _idle(self) -> bool:
        """Whether no request waits for a response."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _has_key(self) -> bool:
        return self.cycle is not None and KEY in self.cycle.scope

    def _close_oldest(self) -> None:
        for one in list(self.without_key):
            del self.without_key[one]
            # A key counts from when it was checked, not only from when the response is complete.
            if not one._has_key:
                process_metrics().connection_closed("too_many")
                one.transport.abort()
                return

    def _on_slow_head(self) -> None:
        self._refuse("head_time", 408, f"The headers must arrive within {HEAD_S:g} seconds.")

    def _on_slow_rest(self) -> None:
        process_metrics().connection_closed("rest_time")
        self.transport.close()

    def _refuse(self, why: str, status: int, detail: str) -> None:
        """Close the connection, with a problem document if this request is the only one without a response."""
        if self.transport.is_closing():
            return
        process_metrics().connection_closed(why)
        if self._idle and not self._in_body:
            self.transport.write(_problem(status, detail))
        elif self._in_body and not self.pipeline and not self.cycle.response_started:
            self.transport.write(_problem(status, detail))
            # The app gets no more of the request, and its response goes nowhere.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _end_in(self, seconds: float, end: Callable[[], None]) -> None:
        self._no_deadline()
        self._deadline = self.loop.call_later(seconds, end)

    def _no_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limit_connections() -> None:
    """Make uvicorn use the limited protocol in this process. BentoML starts uvicorn and has no setting for it."""
    HTTP_PROTOCOLS["auto"] = f"{LimitedProtocol.__module__}:{LimitedProtocol.__name__}"


def _problem(status: int, detail: str) -> bytes:
    request_id = secrets.token_hex(12)
    response = problems.from_status(status, request_id, detail=detail)
    headers = [*secured(response.raw_headers), (b"x-request-id", request_id.encode()), (b"connection", b"close")]
    return b"".join([STATUS_LINE[status], *(b"%b: %b\r\n" % pair for pair in headers), b"\r\n", bytes(response.body)])
