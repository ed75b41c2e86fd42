"""Limits on what a connection may send before there is a request whose key can be checked.

uvicorn's parser collects header lines until the last one has come, however many there are and however long that
takes. It keeps parsing a body that nobody wants, chunk by chunk, and parses every request that has arrived before it
answers the first. Here a connection may send a limited number of bytes and of header lines without completing the
headers or sending a part of a body, and it has a deadline for the headers. A body may have a limited number of
chunks. Few requests are parsed ahead: the rest waits, and nothing more is read. A response that is sent before the
whole body has arrived ends the connection: the rest of the body is read, so that the client can read the response,
but not parsed. Only a limited number of connections may stay open without a valid key.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.http import problems
from serving.http.access.authentication import KEY
from serving.http.bodies import HEADERS_TOO_LARGE, MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADER_LINES, MAX_TARGET_BYTES
from serving.http.responses import secured
from serving.observe.metrics import process_metrics

# Request line and headers, with their separators. Larger ones than the API accepts, so that it can say so.
MAX_HEAD_BYTES = 2 * (MAX_HEADER_BYTES + MAX_TARGET_BYTES)
HEAD_S = 10.0
# For the rest of a request that already has its response, for example because its key is invalid: time, and bytes.
REST_S = 5.0
MAX_REST_BYTES = 2 * MAX_BODY_BYTES
MAX_WITHOUT_KEY = 512
# Requests that wait for their turn behind the one that is being answered. One more piece may be parsed beyond that.
MAX_PIPELINED = 8
# A chunk costs as much time as some 64 bytes of a body; clients that stream send at least as much at once.
MAX_SMALL_CHUNKS = 1_000
MIN_CHUNK_BYTES = 64
# What is parsed at once, so that little is parsed beyond a limit. A head can be as short as 18 bytes.
_BODY_PIECE_BYTES = 8 * 1024
_HEAD_PIECE_BYTES = 512
_TOO_MANY_CHUNKS = "The body has too many small chunks. Send larger ones, or send Content-Length."


class _Flow(FlowControl):
    """uvicorn's flow control, which doesn't resume reading while the protocol holds data back."""

    holds = False

    def resume_reading(self) -> None:
        if not self.holds:
            super().resume_reading()


class _ResponseTransport:
    """What a response sees of its connection's transport."""

    def __init__(self, protocol: LimitedProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write

    def is_closing(self) -> bool:
        return self._protocol.closing

    def close(self) -> None:
        self._protocol.close_after_response()


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
        self._chunks = self._body_bytes = 0
        self._in_head = self._in_body = False
        # Whether the client wants the connection to stay open after the request that is being parsed.
        self._keeps_alive = False
        # What has arrived and waits until fewer requests wait for their turn.
        self._unparsed = memoryview(b"")
        # The last response is sent; what still arrives is dropped.
        self._dropping = False
        self._dropped = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport)
        self._response_transport = _ResponseTransport(self)
        self.without_key[self] = None
        if len(self.without_key) > MAX_WITHOUT_KEY:
            self._close_oldest()
        self._end_in(HEAD_S, self._on_slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self.without_key.pop(self, None)
        self._no_deadline()
        self._unparsed = memoryview(b"")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._dropping:
            self._parse(memoryview(bytes(self._unparsed) + data if self._unparsed else data))
            return
        self._dropped += len(data)
        if self._dropped > MAX_REST_BYTES:
            process_metrics().connection_closed("rest_size")
            self.transport.abort()

    def _parse(self, data: memoryview) -> None:
        """Parse as much as few enough requests wait for their turn, and keep the rest."""
        while data and len(self.pipeline) < MAX_PIPELINED:
            size = _BODY_PIECE_BYTES if self._in_body else _HEAD_PIECE_BYTES
            piece, data = data[:size], data[size:]
            self._bytes += len(piece)
            super().data_received(piece)  # type: ignore[arg-type]
            if self._bytes > MAX_HEAD_BYTES or self._lines > MAX_HEADER_LINES:
                self._refuse("head_size", 431, HEADERS_TOO_LARGE)
            elif self._chunks > MAX_SMALL_CHUNKS + self._body_bytes // MIN_CHUNK_BYTES:
                self._refuse("chunks", 400, _TOO_MANY_CHUNKS)
            if self.closing:
                return
        self._unparsed, self.flow.holds = data, bool(data)
        if data:
            self.flow.pause_reading()
        # Empty lines between requests aren't a request's beginning for the parser.
        elif self._deadline is None and self._idle:
            self._end_in(HEAD_S, self._on_slow_head)

    def _parse_rest(self) -> None:
        if self.closing or len(self.pipeline) >= MAX_PIPELINED:
            return
        self._parse(self._unparsed)
        self.flow.resume_reading()

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
        self._bytes = self._lines = self._chunks = self._body_bytes = 0
        # A response that starts before the whole body has arrived tells the client that the connection ends.
        self._keeps_alive, self.cycle.keep_alive = self.cycle.keep_alive, False
        self.cycle.transport = self._response_transport  # type: ignore[assignment]
        self._no_deadline()

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        self._bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body, self._bytes = False, 0
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keeps_alive
        if self._idle:
            self._no_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._has_key:
            self.without_key.pop(self, None)
        if self._dropping:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if self._unparsed:
            self.loop.call_soon(self._parse_rest)
        elif self._idle and self._in_head:
            self._end_in(HEAD_S, self._on_slow_head)

    def shutdown(self) -> None:
        self._keeps_alive = False
        super().shutdown()

    @property
    def closing(self) -> bool:
        """Whether nothing more is parsed and, except for the response that is being sent, nothing more sent."""
        return self._dropping or self.transport.is_closing()

    def close_after_response(self) -> None:
        """Close the connection so that the client can read what was sent, even if it is still sending.

        If the socket were closed while data arrives, the client's system would discard what the client hasn't read yet.
        """
        if self.closing:
            return
        if not self._in_body and not self._unparsed:
            self.transport.close()
            return
        self._dropping, self.flow.holds = True, False
        self._unparsed = memoryview(b"")
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._end_in(REST_S, self._on_slow_rest)

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
        if self.closing:
            return
        process_metrics().connection_closed(why)
        if self._idle and not self._in_body:
            self.transport.write(_problem(status, detail))
        elif self._in_body and not self.pipeline and not self.cycle.response_started:
            self.transport.write(_problem(status, detail))
            # The app gets no more of the request, and its response goes nowhere.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if why == "chunks":
                self.close_after_response()
                return
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
