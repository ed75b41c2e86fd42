"""What callers without a key can do to a running service: send heads that never end, trickle, and hold connections."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

from leads.db import keys
from leads.db.engine import open_engine
from leads.settings import load_settings
from serving.http.access.connections import HEAD_S, MAX_HEAD_BYTES, MAX_WITHOUT_KEY
from tests.support.serving.instances import serving, until
from tests.support.serving.served import api_workers
from tests.support.serving.world import publish

pytestmark = [pytest.mark.slow]

MB = 1_000_000
LIMIT_S = 25.0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = load_settings(home=tmp_path_factory.mktemp("served"), corpora="none", database_url=None)
    publish(settings, "spam")
    engine = open_engine(settings)
    key = keys.create(engine, "x", ["admin"]).text
    engine.dispose()
    with (
        serving(settings, "--no-worker") as instance,
        httpx.Client(base_url=instance.url, headers={"x-api-key": key}, timeout=30, trust_env=False) as opened,
    ):
        until(instance.ready, instance.said)
        yield opened


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=30)


def resident_mb(client: httpx.Client) -> float:
    (worker,) = api_workers(client)
    return worker.memory_info().rss / MB


def flood(client: httpx.Client, start: bytes, more: bytes, total: int) -> int:
    """Send `start`, then `more` again and again, up to `total` bytes; returns how many the service took."""
    sent = 0
    with connect(client) as opened, suppress(ConnectionError):
        opened.sendall(start)
        while sent < total:
            sent += opened.send(more)
    return sent


@pytest.mark.parametrize(
    ("start", "more", "total"),
    [
        (b"GET / HTTP/1.1\r\n", b"a:b\r\n" * 2_000, 40 * MB),
        (b"GET / HTTP/1.1\r\na: ", b"b" * 10_000, 150 * MB),
        (b"POST /v1/items HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a:b\r\n" * 2_000, 40 * MB),
    ],
    ids=["header lines", "one header", "trailers"],
)
def test_a_head_that_never_ends_costs_neither_memory_nor_time(
    client: httpx.Client, start: bytes, more: bytes, total: int
) -> None:
    assert client.get("/livez").status_code == 200
    before = resident_mb(client)
    waits: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=client.base_url, trust_env=False, timeout=60) as other:
            while not ended.is_set():
                began = time.monotonic()
                assert other.get("/livez").status_code == 200
                waits.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        taken = []
        while len(waits) < 20:
            taken.append(flood(client, start, more, total))
    finally:
        ended.set()
        thread.join()
    # What the service doesn't read waits in the buffers of both sockets, which hold a few megabytes. Of a request that
    # has its response already, it reads and drops a few more.
    assert max(taken) < 16 * MB < total
    assert resident_mb(client) - before < 30
    assert max(waits) < 2.0
    closed = re.findall(
        r'leads_connections_closed_total\{limit="(?:head|rest)_size"\} (\S+)', client.get("/metrics").text
    )
    assert sum(map(float, closed)) >= len(taken)


def test_connections_that_trickle_are_closed(client: httpx.Client) -> None:
    """50 heads and 20 bodies without a key, each a byte at a time."""
    with ExitStack() as opened:
        heads = [opened.enter_context(connect(client)) for _ in range(50)]
        bodies = [opened.enter_context(connect(client)) for _ in range(20)]
        for one in heads:
            one.sendall(b"GET / HTTP/1.1\r\nx-slow: ")
        for one in bodies:
            one.sendall(b"POST /v1/items HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n")
        began, held = time.monotonic(), {*heads, *bodies}
        answers: dict[socket.socket, bytes] = dict.fromkeys(held, b"")
        while held and time.monotonic() - began < LIMIT_S:
            for one in list(held):
                one.settimeout(0.001)
                try:
                    one.send(b"x")
                    received = one.recv(65_536)
                    answers[one] += received
                    if not received:
                        held.discard(one)
                except TimeoutError:
                    pass
                except ConnectionError:
                    held.discard(one)
            assert client.get("/livez").status_code == 200
        assert not held, f"{len(held)} connections are still open after {LIMIT_S:g} s"
        assert time.monotonic() - began > HEAD_S / 4
        assert {answers[one].split(b" ", 2)[1] for one in bodies} == {b"401"}
        assert {answers[one].split(b" ", 2)[1] for one in heads if answers[one]} <= {b"408"}


def whole_response(connection: socket.socket) -> bytes:
    """The next response, head and body: they may arrive apart."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert found is not None
    while len(body) < int(found[1]):
        body += connection.recv(65_536)
    return head


def test_connections_without_a_key_are_limited_and_do_not_displace_those_with_one(client: httpx.Client) -> None:
    with connect(client) as kept, ExitStack() as opened:
        request = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-api-key: {client.headers['x-api-key']}\r\n\r\n".encode()
        kept.sendall(request)
        assert whole_response(kept).startswith(b"HTTP/1.1 200")
        others = [opened.enter_context(connect(client)) for _ in range(MAX_WITHOUT_KEY + 40)]
        # The oldest are closed, new ones are served, and a connection with a key stays.
        for one in others[:20]:
            with suppress(ConnectionError):
                assert one.recv(1) == b""
        with httpx.Client(base_url=client.base_url, headers=client.headers, trust_env=False) as new:
            assert new.get("/v1/models").status_code == 200
        kept.sendall(request)
        assert whole_response(kept).startswith(b"HTTP/1.1 200")


def test_limits_leave_whole_requests_alone(client: httpx.Client) -> None:
    head = "x" * (MAX_HEAD_BYTES // 4)
    assert client.get("/v1/models", headers={"x-long": head}).status_code == 200
    refused = client.get("/v1/models", headers={"x-long": head * 2})
    assert (refused.status_code, refused.headers["content-type"]) == (431, "application/problem+json")
    items = [{"id": f"c{i}", "typeId": "comment", "data": {"text": "x" * 1_500}} for i in range(1_000)]
    assert client.post("/v1/items", json={"items": items}).status_code == 202
