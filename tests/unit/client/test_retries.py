"""When both clients retry, for how long, and what they say when they give up. A retry never changes anything twice."""

from __future__ import annotations

import email.utils
import inspect
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from anyio.from_thread import BlockingPortal

from leads_client import Client, PlayIn, SignalIn, event, ref, subject
from leads_client._retries import Retries
from leads_client.errors import InvalidInput, NotFound, TooManyRequests, Unavailable
from tests.support.client_world import KEY, Face, Pace, open_face, problem

EMPTY = {"leads": [], "nextCursor": None}
ACCEPTED = {"accepted": 1, "duplicates": 0, "eventIds": ["e1"]}
Answering = Callable[..., tuple[Face, list[httpx.Request]]]
REFUSED, RESET = httpx.ConnectError("refused"), httpx.RemoteProtocolError("Server disconnected without a response.")


# How long


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_transient_errors_are_retried(answering: Answering, pace: Pace, status: int) -> None:
    client, sent = answering(*[problem(status)] * 3, httpx.Response(200, json=EMPTY))
    assert client.leads().leads == ()
    assert len({str(request.url) for request in sent}) == 1
    assert pace.waits == [0.125, 0.25, 0.5]


@pytest.mark.parametrize("error", [REFUSED, httpx.ReadTimeout("x"), httpx.ConnectTimeout("x"), RESET])
def test_lost_requests_are_retried(answering: Answering, error: Exception) -> None:
    client, sent = answering(error, httpx.Response(202, json=ACCEPTED))
    assert client.items([subject("comment", "c1")]).accepted == 1
    first, second = sent
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.content == second.content


@pytest.mark.parametrize("error", [REFUSED, httpx.ReadTimeout("x"), RESET, None])
def test_retries_end_after_a_minute_and_the_error_says_so(
    answering: Answering, pace: Pace, error: Exception | None
) -> None:
    client, sent = answering(*[error or problem(503, "Down. Try again.")] * 100)
    with pytest.raises(Unavailable) as raised:
        client.models()
    assert str(raised.value).endswith(f" Gave up after {len(sent)} attempts in 60.0 s.")
    assert pace.now == 60
    # Waits grow to half of eight seconds here, so the last minute has few attempts.
    assert 15 < len(sent) < 25
    if isinstance(error, Exception):
        assert raised.value.__cause__ is error
        assert "GET /v1/models: the service" in str(raised.value)


def test_a_restart_of_half_a_minute_loses_no_call(faked: Callable[..., Face], pace: Pace) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        if pace.now < 19:
            raise REFUSED
        return problem(503) if pace.now < 30 else httpx.Response(200, json=EMPTY)

    client = faked(handler)
    for _ in range(11):
        assert client.leads().leads == ()
    assert 30 <= pace.now < 40


def test_the_budget_can_be_changed(answering: Answering, pace: Pace) -> None:
    client, sent = answering(problem(503), retry_for_s=0)
    with pytest.raises(Unavailable, match=r"Gave up after 1 attempt in 0\.0 s\."):
        client.leads()
    assert len(sent) == 1
    client, sent = answering(*[problem(503)] * 10, retry_for_s=1)
    with pytest.raises(Unavailable):
        client.leads()
    # 0, 0.125, 0.375 and 0.875 s; a last attempt at the end of the second.
    assert (len(sent), pace.now) == (5, 1)
    client, sent = answering(REFUSED, httpx.Response(200, json=EMPTY), retry_for_s=0)
    assert client.with_options(retry_for_s=1).leads().leads == ()
    for bad in ({"retry_for_s": -1.0}, {"deadline_s": 0.0}, {"retry_for_s": float("nan")}):
        with pytest.raises(InvalidInput):
            Client("http://x", KEY, **bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            client.with_options(**bad)


def test_waits_are_random_up_to_a_growing_cap() -> None:
    for draw in (0.0, 0.999):
        attempts = Retries(for_s=1e9, timer=lambda: 0.0, draw=lambda drawn=draw: drawn).begin()  # type: ignore[misc]
        waits = [attempts.wait_s(REFUSED) for _ in range(40)]
        assert waits == [pytest.approx(draw * min(8.0, 0.25 * 2**n)) for n in range(40)]


def test_retry_after_is_honoured(answering: Answering, pace: Pace) -> None:
    later = email.utils.formatdate(time.time() + 5, usegmt=True)
    client, _ = answering(
        problem(429, **{"retry-after": "7"}), problem(503, **{"retry-after": later}),
        problem(503, **{"retry-after": "soon"}), httpx.Response(200, json=EMPTY),
    )  # fmt: skip
    client.leads()
    assert pace.waits[0] == 7.125
    assert 3 < pace.waits[1] < 5.5
    assert pace.waits[2] == 0.5
    client, sent = answering(problem(429, **{"retry-after": "61"}))
    with pytest.raises(TooManyRequests) as raised:
        client.leads()
    assert str(raised.value).endswith("Gave up after 1 attempt in 0.0 s, because the service asks to wait 61 s.")
    assert (raised.value.retry_after_s, len(sent)) == (61, 1)


# Deadlines


def test_a_call_ends_at_its_deadline(answering: Answering, pace: Pace) -> None:
    client, sent = answering(*[problem(503)] * 100)
    with pytest.raises(Unavailable, match="Gave up after"):
        client.with_options(deadline_s=2).leads()
    assert 1.9 < pace.now <= 2
    assert len(sent) < 15
    # An attempt waits for the service no longer than until the deadline.
    timeouts = [request.extensions["timeout"]["read"] for request in sent]
    assert timeouts[0] == 2
    assert timeouts == sorted(timeouts, reverse=True)
    client, sent = answering(problem(429, **{"retry-after": "5"}))
    with pytest.raises(TooManyRequests, match="asks to wait 5 s"):
        client.with_options(deadline_s=2).leads()
    assert len(sent) == 1


def test_the_parts_of_a_long_list_have_one_deadline(kind: str, portal: BlockingPortal, pace: Pace) -> None:
    timeouts: list[float] = []

    def handler(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        pace.now += 1
        return httpx.Response(202, json=ACCEPTED)

    client = open_face(kind, portal, pace, httpx.MockTransport(handler), timeout_s=9)
    plays = [PlayIn(subject=ref("track", "t"), account_id="a", seconds=1)] * 2_001
    client.with_options(deadline_s=5).plays(plays)
    assert timeouts == [5, 4, 3]
    client.plays(plays)
    assert timeouts[3:] == [9, 9, 9]


# What isn't retried


def test_a_certificate_that_is_not_trusted_is_reported_at_once(answering: Answering, pace: Pace) -> None:
    untrusted = httpx.ConnectError("x")
    untrusted.__cause__ = OSError()
    untrusted.__cause__.__cause__ = ssl.SSLCertVerificationError("self-signed")
    for error, what in (
        (untrusted, "has a certificate that isn't trusted"),
        (httpx.UnsupportedProtocol("x"), "can't be reached"),
        (httpx.DecodingError("x"), "sent a response that can't be decoded"),
    ):
        client, sent = answering(error)
        with pytest.raises(Unavailable, match=what) as raised:
            client.leads()
        assert "Gave up" not in str(raised.value)
        assert (len(sent), pace.waits) == (1, [])


# Connections that the service closes


class Closing:
    """A server that answers each connection's first request and closes the connection when the second one arrives."""

    def __init__(self, port: int = 0, *, after: int = 1) -> None:
        self.after = after
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 31\r\n\r\n" + b'{"leads":[],"nextCursor": null}'
        with connection:
            for n in range(self.after + 1):
                received = connection.recv(65_536)
                if not received:
                    return
                self.requests.append(received)
                if n < self.after:
                    connection.sendall(answer)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def connected(kind: str, portal: BlockingPortal, pace: Pace) -> Iterator[Callable[[int], Face]]:
    """Opens a client that connects to a port of this host."""
    opened: list[Face] = []

    def open_at(port: int) -> Face:
        face = open_face(kind, portal, pace, None)
        face.client._http.base_url = httpx.URL(f"http://127.0.0.1:{port}")
        opened.append(face)
        return face

    yield open_at
    for face in opened:
        getattr(face, "close" if kind == "blocking" else "aclose")()


def test_a_connection_that_is_closed_while_idle_is_replaced_at_once(
    connected: Callable[[int], Face], pace: Pace
) -> None:
    """The service closes a connection just as the next request is sent on it."""
    server = Closing()
    try:
        client = connected(server.port)
        for _ in range(3):
            assert client.leads().leads == ()
    finally:
        server.close()
    # Each later call met a connection that was closing, and was sent again on a new one.
    assert (server.connections, len(server.requests), sum(pace.waits)) == (3, 5, 0)


def test_a_service_that_keeps_closing_connections_is_not_asked_in_a_hurry(answering: Answering, pace: Pace) -> None:
    client, _ = answering(RESET, RESET, httpx.ReadError("reset"), httpx.Response(200, json=EMPTY))
    client.leads()
    assert pace.waits == [0.0, 0.25, 0.5]
    client, _ = answering(*[RESET] * 2, retry_for_s=0)
    with pytest.raises(Unavailable, match="closed the connection without a response"):
        client.leads()


def test_a_service_that_starts_meanwhile_answers(
    connected: Callable[[int], Face], pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    servers: list[Closing] = []

    def start_late(seconds: float) -> None:
        pace.waits.append(seconds)
        pace.now += seconds
        if len(pace.waits) == 5:
            servers.append(Closing(port))

    monkeypatch.setattr(pace, "sleep", start_late)
    try:
        assert connected(port).leads().leads == ()
    finally:
        for server in servers:
            server.close()
    assert len(pace.waits) == 5


# Every method

CALLS: dict[str, tuple[Any, ...]] = {
    "score": ([("comment", "c1")],),
    "items": ([subject("comment", "c1")],),
    "signals": ([SignalIn(subject=ref("comment", "c1"), kind="user_report", source="app")],),
    "plays": ([PlayIn(subject=ref("track", "t"), account_id="a", seconds=1)],),
    "events": ([event("follow", account_id="a1")],),
    "leads": (),
    "iter_leads": (),
    "stats": (),
    "lead": ("l1",),
    "audit": ("l1",),
    "claim": ("ann",),
    "held": ("ann",),
    "extend": ("l1", "ann"),
    "release": ("l1", "ann"),
    "decide": ("l1", "violating", "ann"),
    "decide_subject": (("comment", "c1"), "spam", "violating", "ann"),
    "alerts": (),
    "iter_alerts": (),
    "alert": ("17",),
    "acknowledge_alert": ("17",),
    "silences": (),
    "silence": ("*", "2026-03-01T16:00:00Z", "a test"),
    "end_silence": ("4",),
    "monitoring_metrics": (),
    "iter_monitoring_metrics": (),
    "monitoring_runs": (),
    "monitoring_summary": (),
    "types": (),
    "harms": (),
    "models": (),
}
NOT_RETRIED = {"close", "ready", "with_options"}


def test_every_method_has_a_row() -> None:
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert methods == set(CALLS) | NOT_RETRIED


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_retried_and_can_be_repeated_safely(answering: Answering, name: str) -> None:
    client, sent = answering(REFUSED, httpx.ReadTimeout("x"), problem(503), problem(404))
    with pytest.raises(NotFound):
        getattr(client, name)(*CALLS[name])
    assert len(sent) == 4
    assert len({(x.method, str(x.url), x.content, x.headers.get("idempotency-key")) for x in sent}) == 1
    # Reading and scoring change nothing.
    assert ("idempotency-key" in sent[0].headers) == (sent[0].method != "GET" and name != "score")


def test_two_calls_have_different_idempotency_keys(answering: Answering) -> None:
    client, sent = answering(*[httpx.Response(202, json=ACCEPTED)] * 2)
    for _ in range(2):
        client.items([subject("comment", "c1")])
    assert sent[0].headers["idempotency-key"] != sent[1].headers["idempotency-key"]


def test_a_key_that_is_too_long_for_its_parts_is_refused_before_sending(answering: Answering) -> None:
    client, sent = answering(httpx.Response(202, json=ACCEPTED))
    client.items([subject("comment", "c1")], idempotency_key="x" * 255)
    with pytest.raises(InvalidInput, match="their number is added to the key"):
        client.items([subject("comment", "c1")] * 1_001, idempotency_key="x" * 255)
    assert len(sent) == 1


def test_one_warning_is_logged_for_a_call_that_is_retried(
    answering: Answering, caplog: pytest.LogCaptureFixture
) -> None:
    client, _ = answering(RESET, REFUSED, problem(503), httpx.Response(200, json=EMPTY))
    with caplog.at_level(logging.WARNING, logger="leads_client"):
        client.leads()
    (message,) = [x.getMessage() for x in caplog.records if x.name == "leads_client"]
    assert message == "GET /v1/leads: ConnectError. Retrying for up to 60 seconds."


def test_a_cancelled_call_is_not_retried(portal: BlockingPortal, pace: Pace) -> None:
    sent = 0

    async def handler(_: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        await anyio.sleep_forever()
        raise AssertionError

    face = open_face("asyncio", portal, pace, httpx.MockTransport(handler))

    async def cancelled() -> None:
        with anyio.move_on_after(0.01):
            await face.client.leads()  # type: ignore[misc]

    portal.call(cancelled)
    assert (sent, pace.waits) == (1, [])
