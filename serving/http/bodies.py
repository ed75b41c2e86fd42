"""Taking a request's headers and body in: within limits of size and time, and only what is said to be plain JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope

from leads.errors import TooLarge

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_TARGET_BYTES = 8 * 1024
BODY_S = 10.0
Headers = Mapping[bytes, bytes]
# Whoever sends on gets no further answer: what follows would be read as the next request.
_CLOSE = {"Connection": "close"}


class Refused(Exception):
    """The request is not taken in; answered with a status, in its own words where the status's won't do."""

    def __init__(self, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


class Disconnected(Exception):
    """The client went away before its request was whole."""


def headers_of(scope: Scope) -> Headers:
    """The headers by lower-case name, of several with one name the first.

    Raises:
        Refused: they, or the path and query, are too long.
    """
    sent: list[tuple[bytes, bytes]] = scope["headers"]
    found: dict[bytes, bytes] = {}
    size = 0
    for name, value in sent:
        size += len(name) + len(value)
        found.setdefault(name, value)
    if size > MAX_HEADER_BYTES:
        raise Refused(431, f"The headers are larger than {MAX_HEADER_BYTES:,} bytes.", _CLOSE)
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        raise Refused(414, f"Path and query are longer than {MAX_TARGET_BYTES:,} bytes.")
    return found


async def read_body(headers: Headers, receive: Receive, *, timeout_s: float = BODY_S) -> bytes:
    """The whole body.

    Raises:
        TooLarge: it is announced or turns out to be larger than the limit; no more than that is read.
        Refused: it isn't JSON, it is compressed, or it didn't arrive in time.
        Disconnected: the client went away.
    """
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit():
        raise Refused(400, "Content-Length is no number.", _CLOSE)
    if int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    kind = headers.get(b"content-type", b"application/json")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        raise Refused(415)
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        # Unpacked, a body within the limit may be a thousand times as large.
        raise Refused(415, "Send the body as it is, without Content-Encoding.", {"Accept-Encoding": "identity"})
    try:
        async with asyncio.timeout(timeout_s):
            return await _whole(receive)
    except TimeoutError:
        raise Refused(408, f"The body must be here within {timeout_s:g} seconds.", _CLOSE) from None


async def _whole(receive: Receive) -> bytes:
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
