from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from leads.errors import TooLarge
from serving.http.bodies import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_TARGET_BYTES,
    Disconnected,
    Refused,
    headers_of,
    read_body,
)

Receive = Callable[[], Awaitable[Any]]


class Sender:
    """A client that sends these pieces, and then nothing more."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self._left = [
            {"type": "http.request", "body": piece, "more_body": not ends or i + 1 < len(pieces)}
            for i, piece in enumerate(pieces)
        ]
        self.asked = 0

    async def __call__(self) -> Any:
        self.asked += 1
        if not self._left:
            await asyncio.Event().wait()
        return self._left.pop(0)


def read(headers: dict[bytes, bytes], receive: Receive, timeout_s: float = 60.0) -> bytes:
    return asyncio.run(read_body({b"content-type": b"application/json", **headers}, receive, timeout_s=timeout_s))


def scope_of(*headers: tuple[bytes, bytes], path: str = "/v1/leads", query: bytes = b"") -> dict[str, Any]:
    return {"headers": list(headers), "path": path, "raw_path": path.encode(), "query_string": query}


def test_the_chunks_of_a_body_are_joined() -> None:
    assert read({}, Sender(b"")) == b""
    assert read({}, Sender(b"one")) == b"one"
    assert read({}, Sender(b"one", b"", b"two")) == b"onetwo"
    assert len(read({}, Sender(b"x" * MAX_BODY_BYTES))) == MAX_BODY_BYTES


def test_a_body_with_a_too_large_content_length_is_not_read() -> None:
    sender = Sender(b"x")
    with pytest.raises(TooLarge):
        read({b"content-length": b"%d" % (MAX_BODY_BYTES + 1)}, sender)
    assert sender.asked == 0


def test_reading_stops_at_the_size_limit() -> None:
    sender = Sender(*[b"x" * 65_536] * 100)
    with pytest.raises(TooLarge):
        read({}, sender)
    assert sender.asked == MAX_BODY_BYTES // 65_536 + 1


@pytest.mark.parametrize("length", [b"-5", b"", b"1e3", b"0x10", "١".encode()])
def test_an_invalid_content_length_is_refused(length: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read({b"content-length": length}, Sender(b"x"))
    assert refused.value.status == 400


@pytest.mark.parametrize("pieces", [(), (b"{",)])
def test_a_body_that_doesnt_arrive_in_time_is_refused(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused) as refused:
        read({}, Sender(*pieces, ends=False), timeout_s=0.05)
    assert refused.value.status == 408
    assert refused.value.headers == {"Connection": "close"}


def test_a_disconnect_is_detected() -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(Disconnected):
        read({}, receive)


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"deflate", b"zstd", b"identity, gzip", b" GZip "])
def test_a_compressed_body_is_refused_without_reading_it(encoding: bytes) -> None:
    sender = Sender(b"\x1f\x8b")
    with pytest.raises(Refused) as refused:
        read({b"content-encoding": encoding}, sender)
    assert refused.value.status == 415
    assert "Content-Encoding" in (refused.value.detail or "")
    assert sender.asked == 0


def test_spellings_of_the_json_content_type_are_accepted() -> None:
    for kind in (b"application/json", b"Application/JSON", b"application/json; charset=utf-8", b" application/json ;x"):
        assert read({b"content-type": kind, b"content-encoding": b"Identity"}, Sender(b"{}")) == b"{}"
    for kind in (b"", b"text/json", b"application/vnd.bentoml+pickle", b"multipart/form-data"):
        with pytest.raises(Refused) as refused:
            read({b"content-type": kind}, Sender(b"{}"))
        assert refused.value.status == 415


def test_the_first_of_repeated_headers_is_used() -> None:
    found = headers_of(scope_of((b"x-api-key", b"a"), (b"x-api-key", b"b"), (b"accept", b"*/*")))
    assert found == {b"x-api-key": b"a", b"accept": b"*/*"}


def test_headers_and_path_have_size_limits() -> None:
    name = b"x-long"
    headers_of(scope_of((name, b"x" * (MAX_HEADER_BYTES - len(name)))))
    for many in ([(name, b"x" * MAX_HEADER_BYTES)], [(b"x-%04d" % i, b"y" * 10) for i in range(1_100)]):
        with pytest.raises(Refused) as refused:
            headers_of(scope_of(*many))
        assert refused.value.status == 431
    headers_of(scope_of(path="/a", query=b"q" * (MAX_TARGET_BYTES - 2)))
    for path, query in (("/a", b"q" * MAX_TARGET_BYTES), ("/" + "a" * MAX_TARGET_BYTES, b"")):
        with pytest.raises(Refused) as refused:
            headers_of(scope_of(path=path, query=query))
        assert refused.value.status == 414
