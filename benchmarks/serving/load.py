"""The load generator: prebuilt requests over kept connections, in one thread, so that the servers get the processor."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from leads.errors import Unavailable

# Longer than any measured server takes for one answer.
_HANGS_S = 60.0
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Request(NamedTuple):
    """The bytes to send, and how many scores must come back."""

    raw: bytes
    scores: int


class Reply(NamedTuple):
    """What came back, and how long after the request was due; status 0 when the connection broke."""

    request: Request
    seconds: float
    status: int
    body: bytes


class LoadRun(NamedTuple):
    """One run of load: the seconds of each request, and of the whole run; `sample` holds a few whole bodies."""

    latencies: list[float]
    seconds: float
    failed: int
    sample: tuple[bytes, ...]


class Score(NamedTuple):
    """One score in an answer."""

    harm: str
    score: float
    version: str
    prediction: str


def scores_in(body: bytes) -> list[Score]:
    """Every score in an answer of `/v1/score`; only this function knows the shape of the answer."""
    answer = msgspec.json.decode(body)
    groups = [result["scores"] for result in answer["results"]] if "results" in answer else [answer["scores"]]
    return [
        Score(one["harm"], one["score"], one["modelVersion"], one["predictionId"]) for group in groups for one in group
    ]


def post(path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 request with a JSON body."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
    lines += [f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join(lines).encode() + _END + body


class LoadConnection:
    """One kept connection; one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_HANGS_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._whole = 0
        self.request = Request(b"", 0)
        self.due = 0.0

    def send(self, request: Request, due: float) -> None:
        self.request, self.due = request, due
        self._buffer, self._whole = bytearray(), 0
        self.socket.sendall(request.raw)

    def receive(self) -> tuple[int, bytes] | None:
        """Take the bytes that have arrived; returns status and body once the answer is complete.

        Raises:
            ConnectionError: the server closed the connection.
        """
        part = self.socket.recv(1 << 20)
        if not part:
            raise ConnectionResetError("The server closed the connection.")
        self._buffer += part
        if not self._whole:
            head = self._buffer.find(_END)
            if head < 0:
                return None
            self._whole = head + len(_END) + _content_length(bytes(self._buffer[:head]))
        if len(self._buffer) < self._whole:
            return None
        start = self._buffer.index(_END) + len(_END)
        return int(self._buffer[9:12]), bytes(self._buffer[start:])

    def exchange(self, raw: bytes) -> tuple[int, bytes]:
        """Send a request and wait for its answer."""
        self.send_raw(raw)
        return self.wait()

    def send_raw(self, raw: bytes) -> None:
        self.send(Request(raw, 0), 0.0)

    def wait(self) -> tuple[int, bytes]:
        """Wait for the answer to the last request."""
        while True:
            answer = self.receive()
            if answer:
                return answer

    def close(self) -> None:
        self.socket.close()


def drive(
    port: int,
    requests: Iterator[Request],
    *,
    connections: int,
    seconds: float,
    take: Callable[[Reply], None],
    rate: float | None = None,
) -> float:
    """Send requests for this many seconds, then wait for the open ones; returns how long it all took.

    Args:
        take: receives every reply.
        rate: requests per second, each sent when it is due or as soon after as a connection is free; None: each
            connection sends its next request as soon as the last one is answered.

    Raises:
        Unavailable: nothing was answered for a minute.
    """
    with _Driver(port, connections) as driver:
        return driver.run(requests, seconds, take, rate)


class _Driver:
    """The connections of one run of load, and which of them are free."""

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._busy = self._sent = 0
        # First in, first out: no connection is idle for so long that the server closes it.
        self._free: deque[LoadConnection] = deque()
        try:
            self._free.extend(self._opened() for _ in range(connections))
        except OSError:
            self.__exit__()
            raise

    def __enter__(self) -> _Driver:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.close()
        self._selector.close()

    def run(
        self, requests: Iterator[Request], seconds: float, take: Callable[[Reply], None], rate: float | None
    ) -> float:
        began = time.perf_counter()
        total = None if rate is None else int(rate * seconds)

        def due_at(now: float) -> float | None:
            """When the next request is due; None when no more are to be sent."""
            if total is None or rate is None:
                return now if now - began < seconds else None
            return began + self._sent / rate if self._sent < total else None

        while True:
            now = time.perf_counter()
            while self._free and (due := due_at(now)) is not None and due <= now:
                self._free.popleft().send(next(requests), due)
                self._busy, self._sent = self._busy + 1, self._sent + 1
            due = due_at(now)
            if not self._busy and due is None:
                return now - began
            # A free connection waits for the next request to be due; with none free, only a reply helps.
            self._receive(_HANGS_S if due is None or not self._free else max(0.0, due - now), take)

    def _receive(self, wait: float, take: Callable[[Reply], None]) -> None:
        """Wait for replies, hand them over and free their connections."""
        ready = self._selector.select(wait)
        if not ready and wait == _HANGS_S:
            raise Unavailable(f"No request was answered on port {self._port} for {_HANGS_S:.0f} s.")
        for key, _ in ready:
            connection: LoadConnection = key.data
            reply = _reply(connection)
            if reply is None:
                continue
            if not reply.status:
                self._selector.unregister(connection.socket)
                connection.close()
            # The server may also close a connection that waits for nothing.
            idle = connection in self._free
            if idle:
                self._free.remove(connection)
            self._free.append(connection if reply.status else self._opened())
            if not idle:
                self._busy -= 1
                take(reply)

    def _opened(self) -> LoadConnection:
        connection = LoadConnection(self._port)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        return connection


def run_load(port: int, requests: Sequence[Request], *, connections: int, seconds: float, offset: int = 0) -> LoadRun:
    """Each connection sends its next request as soon as the last one is answered.

    Args:
        offset: index of the first request, so that rounds differ.
    """
    latencies: list[float] = []
    sample: list[bytes] = []
    failed = 0

    def take(reply: Reply) -> None:
        nonlocal failed
        latencies.append(reply.seconds)
        failed += not _has_every_score(reply)
        if len(sample) < 3:
            sample.append(reply.body)

    took = drive(port, _cycle(requests, offset), connections=connections, seconds=seconds, take=take)
    return LoadRun(latencies, took, failed, tuple(sample))


def _has_every_score(reply: Reply) -> bool:
    """Whether every score came: counted rather than parsed, because the load is being timed."""
    wanted = reply.request.scores
    return reply.status == 200 and (not wanted or reply.body.count(b'"predictionId":') == wanted)


def _cycle(requests: Sequence[Request], offset: int) -> Iterator[Request]:
    at = offset
    while True:
        yield requests[at % len(requests)]
        at += 1


def _reply(connection: LoadConnection) -> Reply | None:
    """The reply, if it is complete."""
    try:
        whole = connection.receive()
    except ConnectionError:
        whole = (0, b"")
    if whole is None:
        return None
    return Reply(connection.request, time.perf_counter() - connection.due, *whole)


def _content_length(head: bytes) -> int:
    """Raises Unavailable when the answer doesn't say its length: every server measured here does."""
    for line in head.split(b"\r\n"):
        if line[: len(_LENGTH)].lower() == _LENGTH:
            return int(line[len(_LENGTH) :])
    raise Unavailable(f"An answer has no Content-Length: {head.decode(errors='replace')}")
