"""What uvicorn does with connections that don't send a proper request, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from serving.http.access import connections
from serving.http.access.authentication import KEY
from serving.http.access.connections import MAX_HEAD_BYTES, LimitedProtocol, limit_connections
from serving.http.bodies import MAX_HEADER_LINES

pytestmark = pytest.mark.slow

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
POST = b"POST %b HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST % b"/read" + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n"


# What the app waits for on `/wait`.
waits: list[asyncio.Event] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body on `/read`; on `/key`, the key is valid; on `/wait`, waits for the test."""
    body = b"ok"
    if scope["path"] == "/wait":
        await waits[0].wait()
    if scope["path"] == "/read":
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        body = str(size).encode()
    if scope["path"] == "/key":
        scope[KEY] = "a key"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving() -> AsyncIterator[Connect]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    try:
        yield connect
    finally:
        server.should_exit = True
        await running


@pytest.fixture(autouse=True)
def _limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", "")
    limit_connections()


def answer_to(sent: bytes) -> bytes:
    """Everything the server sends until it closes the connection; empty if it resets it."""

    async def talk() -> bytes:
        async with serving() as connect:
            reader, writer = await connect()
            try:
                writer.write(sent)
                await writer.drain()
                return await asyncio.wait_for(reader.read(), 30)
            except ConnectionError:
                return b""
            finally:
                writer.close()

    return asyncio.run(talk())


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 2_000_000,
        b"GET / HTTP/1.1\r\na: " + b"b" * 10_000_000,
        b"GET / HTTP/1.1\r\na" + b"b" * 10_000_000,
        b"GET /" + b"a" * 10_000_000,
        b"\r\n" * 5_000_000,
        POST % b"/" + b"content-length: 1\r\n\r\n" + b"x" + b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 2_000_000,
        CHUNKED + b"0\r\n" + b"a:b\r\n" * 2_000_000,
        CHUNKED + b"0\r\na:" + b"b" * 10_000_000,
        CHUNKED + b"1;" + b"a" * 10_000_000,
    ],
    ids=["lines", "value", "name", "target", "empty lines", "second", "trailers", "trailer", "extension"],
)
def test_a_head_that_goes_on_is_cut_off(sent: bytes, fed: list[int]) -> None:
    assert answer_to(sent).count(b"HTTP/1.1 200") <= 1
    assert sum(fed) <= 64 * 1024 < len(sent)


def test_what_comes_within_the_limits_is_answered() -> None:
    lines = b"a: %b\r\n" % (b"b" * 100) * (MAX_HEADER_LINES - 2)
    request = POST % b"/read" + b"content-length: 2000000\r\n" + lines + b"\r\n" + b"x" * 2_000_000
    close = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"
    answered = answer_to(request * 3 + close)
    assert answered.count(b"HTTP/1.1 200") == 4
    assert answered.count(b"2000000") == 3
    chunked = CHUNKED + b"5\r\nbcdef\r\n0\r\ntrailer: x\r\n\r\n"
    assert answer_to(chunked + close).count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    ("sent", "status", "why"),
    [
        (b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 102, 431, b"Send at most 16 KiB of headers, in at most 100 lines."),
        (b"\r\n" * (MAX_HEAD_BYTES // 2 + 1), 431, b"Send at most 16 KiB of headers"),
        (b"nonsense\r\n\r\n", 400, b"Invalid HTTP request received."),
        (CHUNKED + b"zz\r\n", 400, b"Invalid HTTP request received."),
    ],
)
def test_the_connection_is_closed_with_a_problem_document(sent: bytes, status: int, why: bytes) -> None:
    head, _, body = answer_to(sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    for header in (b"application/problem+json", b"connection: close", b"nosniff", b"no-store", b"frame-ancestors"):
        assert header in head
    assert why in body
    assert b"HTTP/1.1" not in body


@pytest.mark.parametrize(
    ("sent", "ends"),
    [
        (b"", b"408"),
        (b"GET / HTTP/1.1\r\na", b"408"),
        (POST % b"/" + b"content-length: 100\r\n\r\nx", b"200"),
        (POST % b"/" + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n", b"200"),
        (b"GET / HTTP/1.1\r\n\r\n\r\n", b"408"),
        (b"GET / HTTP/1.1\r\n\r\nGET /", b"408"),
    ],
    ids=["nothing", "head", "body", "chunks", "empty lines", "second"],
)
def test_a_connection_that_trickles_is_closed(sent: bytes, ends: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.4)
    monkeypatch.setattr(connections, "REST_S", 0.4)

    async def talk() -> bytes:
        async with serving() as connect:
            reader, writer = await connect()
            writer.write(sent)

            async def trickle() -> None:
                while True:
                    await asyncio.sleep(0.05)
                    writer.write(b"\r\n" if sent.endswith(b"\n\r\n") and b"GET" in sent else b"1" if sent else b"")

            task = asyncio.create_task(trickle())
            try:
                return await asyncio.wait_for(reader.read(), 30)
            finally:
                task.cancel()
                writer.close()

    assert asyncio.run(talk()).split(b"HTTP/1.1 ")[-1][:3] == ends


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes the parser got, piece by piece."""
    pieces: list[int] = []
    real = connections.HttpToolsProtocol.data_received
    monkeypatch.setattr(
        connections.HttpToolsProtocol, "data_received", lambda self, data: pieces.append(len(data)) or real(self, data)
    )
    return pieces


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"transfer-encoding: chunked", b"1\r\na\r\n" * 500_000),
        (b"content-length: 5000000", b"x" * 5_000_000),
    ],
    ids=["chunks", "bytes"],
)
def test_a_body_that_nobody_wants_is_not_parsed_and_the_response_can_be_read(
    head: bytes, body: bytes, fed: list[int]
) -> None:
    async def talk() -> bytes:
        async with serving() as connect:
            reader, writer = await connect()
            writer.write(POST % b"/" + head + b"\r\n\r\n")
            answered = await reader.readuntil(b"ok")
            writer.write(body)
            await writer.drain()
            answered += await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return answered

    answered = asyncio.run(talk())
    assert answered.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answered
    assert sum(fed) < 1_000 < len(body)


def test_a_connection_can_be_used_again_after_a_body_that_has_arrived() -> None:
    request = POST % b"/" + b"content-length: 5\r\n\r\nabcde"
    answered = answer_to(request + b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
    assert answered.count(b"HTTP/1.1 200") == 2
    assert answered.count(b"connection: close") == 1


def test_a_body_of_tiny_chunks_is_refused(fed: list[int]) -> None:
    answered = answer_to(CHUNKED + b"1\r\na\r\n" * 500_000)
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert b"too many small chunks" in answered
    assert sum(fed) < 32 * 1024


def test_a_body_of_small_chunks_is_read() -> None:
    end = b"0\r\n\r\nGET / HTTP/1.1\r\nconnection: close\r\n\r\n"
    answered = answer_to(CHUNKED + b"40\r\n%b\r\n" % (b"x" * 64) * 20_000 + end)
    assert answered.count(b"HTTP/1.1 200") == 2
    assert b"1280001" in answered


def test_few_requests_are_parsed_ahead_of_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the client reads no responses. Once it does, it gets all of them, in order."""
    request, n = b"GET /%06d HTTP/1.1\r\n\r\n", 20_000
    waiting: list[int] = []
    real = LimitedProtocol.on_headers_complete

    def count(self: LimitedProtocol) -> None:
        real(self)
        waiting.append(len(self.pipeline))

    monkeypatch.setattr(LimitedProtocol, "on_headers_complete", count)

    async def talk() -> bytes:
        open_.clear()
        async with serving() as connect:
            reader, writer = await connect()
            writer.write(b"GET /wait HTTP/1.1\r\n\r\n" + b"".join(request % i for i in range(n)))
            writer.write(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
            while not LimitedProtocol.without_key:
                await asyncio.sleep(0.01)
            (protocol,) = LimitedProtocol.without_key
            while not protocol.flow.read_paused:
                await asyncio.sleep(0.01)
            assert len(protocol._unparsed) <= 256 * 1024
            open_.set()
            answered = await asyncio.wait_for(reader.read(), 60)
            writer.close()
            return answered

    open_ = asyncio.Event()
    waits.append(open_)
    try:
        answered = asyncio.run(talk())
    finally:
        waits.clear()
    assert answered.count(b"HTTP/1.1 200") == n + 2
    assert max(waiting) < 64


def test_connections_without_a_key_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_WITHOUT_KEY", 5)

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> bool:
        writer.write(b"GET %b HTTP/1.1\r\n\r\n" % path)
        try:
            return b"200" in await reader.readuntil(b"ok")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False

    async def talk() -> None:
        async with serving() as connect:
            with_key = await connect()
            assert await ask(*with_key, b"/key")
            others = [await connect() for _ in range(8)]
            newest = await connect()
            assert await ask(*newest, b"/")
            assert await ask(*with_key, b"/key")
            assert [await ask(*other, b"/") for other in others] == [False] * 4 + [True] * 4
            for _, writer in (with_key, newest, *others):
                writer.close()

    asyncio.run(talk())
    assert LimitedProtocol.without_key == {}


def test_no_other_protocol_takes_over() -> None:
    upgrade = b"GET / HTTP/1.1\r\nconnection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    answered = answer_to(upgrade + b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 200")
