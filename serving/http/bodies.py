"""Reads headers and body of a request, within limits on size and time. Only uncompressed JSON is accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope

from leads.errors import TooLarge

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADER_LINES = 100
MAX_TARGET_BYTES = 8 * 1024
HEADERS_TOO_LARGE = f"Send at most {MAX_HEADER_BYTES // 1024} KiB of headers, in at most {MAX_HEADER_LINES} lines."
BODY_S = 10.0
Headers = Mapping[bytes, bytes]
# Closes the connection, because the unread rest of the request would be parsed as the next request.
_CLOSE = {"Connection": "close"}


class Refused(Exception):
    """The request is refused with an HTTP status; `detail` replaces the status's standard text."""

    def __init__(self, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


class Disconnected(Exception):
    """The client disconnected before it sent the whole request."""


def headers_of(scope: Scope) -> Headers:
    """The headers by lower-case name; of a repeated header, the first.

    Raises:
        Refused: the headers are too long or too many, or path and query are too long.
    """
    sent: list[tuple[bytes, bytes]] = scope["headers"]
    found: dict[bytes, bytes] = {}
    size = 0
    for name, value in sent:
        size += len(name) + len(value)
        found.setdefault(name, value)
    if size > MAX_HEADER_BYTES or len(sent) > MAX_HEADER_LINES:
        raise Refused(431, HEADERS_TOO_LARGE, _CLOSE)
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        raise Refused(414, f"Path and query string are longer than {MAX_TARGET_BYTES:,} bytes.")
    return found


def announces_body(headers: Headers) -> bool:
    """Whether the headers say that a body follows."""
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


async def read_body(headers: Headers, receive: Receive, *, timeout_s: float = BODY_S) -> bytes:
    """Read the whole body.

    Raises:
        TooLarge: the body exceeds the size limit. Reading stops there.
        Refused: the body isn't JSON, is compressed, or didn't arrive in time.
        Disconnected: the client disconnected.
    """
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise Refused(400, "Content-Length must be a number of bytes.", _CLOSE)
    if int(length) > MAX_BODY_BYTES:
        raise _too_large()
    # Without a type, a page of another site could send anything: the browser asks only before it sends JSON.
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        raise Refused(415)
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        # A compressed body within the limit could decompress to a thousand times its size.
        raise Refused(415, "Send the body uncompressed, without Content-Encoding.", {"Accept-Encoding": "identity"})
    try:
        async with asyncio.timeout(timeout_s):
            return await _receive_all(receive)
    except TimeoutError:
        raise Refused(408, f"The body must arrive within {timeout_s:g} seconds.", _CLOSE) from None


async def _receive_all(receive: Receive) -> bytes:
    body = b""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(body)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        parts.append(body)
    return body if len(parts) == 1 else b"".join(parts)


def _too_large() -> TooLarge:
    return TooLarge(f"The body is larger than {MAX_BODY_BYTES:,} bytes.", remedy="Send smaller batches.")
