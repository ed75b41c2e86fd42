"""The load generator: prebuilt requests over kept connections, one thread, so that the servers get the processor."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from leads.errors import Unavailable

# No server under measurement takes as long.
_HANGS_S = 60.0
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Request(NamedTuple):
    """What goes over the wire, and how many scores must come back."""

    raw: bytes
    scores: int


class Answer(NamedTuple):
    """What came back, and how long after the request was due."""

    request: Request
    seconds: float
    status: int
    body: bytes


class Run(NamedTuple):
    """One run of load: seconds of each request, and over all; `sample` holds a few whole bodies."""

    latencies: list[float]
    seconds: float
    failed: int
    sample: tuple[bytes, ...]


class Score(NamedTuple):
    """What a score in an answer says."""

    harm: str
    score: float
    version: str
    prediction: str


def scores_in(body: bytes) -> list[Score]:
    """Every score in an answer of `/v1/score`; the one place that knows the answer's shape."""
    answer = msgspec.json.decode(body)
    groups = [result["scores"] for result in answer["results"]] if "results" in answer else [answer["scores"]]
    return [
        Score(one["harm"], one["score"], one["modelVersion"], one["predictionId"]) for group in groups for one in group
    ]


def post(path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 request of JSON."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
    lines += [f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join(lines).encode() + _END + body


class Connection:
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
        """Take what has come; status and body once the answer is whole.

        Raises:
            ConnectionError: the server closed.
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
        """Send and wait for the answer."""
        self.send_raw(raw)
        return self.wait()

    def send_raw(self, raw: bytes) -> None:
        self.send(Request(raw, 0), 0.0)

    def wait(self) -> tuple[int, bytes]:
        """Wait for the answer to what was sent."""
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
    take: Callable[[Answer], None],
    rate: float | None = None,
) -> float:
    """Send for so many seconds, then wait for what is under way; returns how long it all took.

    Args:
        take: gets every answer; one that broke off has status 0.
        rate: requests a second, each sent when due or as soon after as a connection is free; None: as fast as answered.

    Raises:
        Unavailable: nothing is answered for a minute.
    """
    selector = selectors.DefaultSelector()
    # First in, first out: none idles so long that the server closes it.
    free = deque(_opened(port, selector) for _ in range(connections))
    busy, sent, began = 0, 0, time.perf_counter()
    due_in_all = None if rate is None else int(rate * seconds)

    def due_at(now: float) -> float | None:
        """When the next request is due; None when there is none."""
        if due_in_all is None or rate is None:
            return now if now - began < seconds else None
        return began + sent / rate if sent < due_in_all else None

    try:
        while True:
            now = time.perf_counter()
            while free and (due := due_at(now)) is not None and due <= now:
                free.popleft().send(next(requests), due)
                busy, sent = busy + 1, sent + 1
            due = due_at(now)
            if not busy and due is None:
                return now - began
            # With a connection free the next request's time counts; else only an answer helps.
            wait = _HANGS_S if due is None or not free else max(0.0, due - now)
            ready = selector.select(wait)
            if not ready and wait == _HANGS_S:
                raise Unavailable(f"Nothing was answered on port {port} for {_HANGS_S:.0f} s.")
            for key, _ in ready:
                connection: Connection = key.data
                answered = _answer(connection)
                if answered is None:
                    continue
                if not answered.status:
                    selector.unregister(connection.socket)
                    connection.close()
                idle = connection in free
                if idle:
                    free.remove(connection)
                free.append(connection if answered.status else _opened(port, selector))
                if not idle:
                    busy -= 1
                    take(answered)
    finally:
        for key in list(selector.get_map().values()):
            key.data.close()
        selector.close()


def run(port: int, requests: Sequence[Request], *, connections: int, seconds: float, offset: int = 0) -> Run:
    """Closed loop: each connection sends its next request when the last is answered.

    Args:
        offset: where in the requests to begin, so that rounds differ.
    """
    latencies: list[float] = []
    sample: list[bytes] = []
    failed = 0

    def take(answer: Answer) -> None:
        nonlocal failed
        latencies.append(answer.seconds)
        failed += not _holds(answer)
        if len(sample) < 3:
            sample.append(answer.body)

    source = _cycle(requests, offset)
    took = drive(port, source, connections=connections, seconds=seconds, take=take)
    return Run(latencies, took, failed, tuple(sample))


def _holds(answer: Answer) -> bool:
    """Whether every score came; counted, not parsed, while the clock runs."""
    wanted = answer.request.scores
    return answer.status == 200 and (not wanted or answer.body.count(b'"predictionId":') == wanted)


def _cycle(requests: Sequence[Request], offset: int) -> Iterator[Request]:
    at = offset
    while True:
        yield requests[at % len(requests)]
        at += 1


def _opened(port: int, selector: selectors.BaseSelector) -> Connection:
    connection = Connection(port)
    selector.register(connection.socket, selectors.EVENT_READ, connection)
    return connection


def _answer(connection: Connection) -> Answer | None:
    try:
        whole = connection.receive()
    except ConnectionError:
        whole = (0, b"")
    if whole is None:
        return None
    return Answer(connection.request, time.perf_counter() - connection.due, *whole)


def _content_length(head: bytes) -> int:
    """Raises Unavailable when the answer doesn't say how long it is: every server measured here does."""
    for line in head.split(b"\r\n"):
        if line[: len(_LENGTH)].lower() == _LENGTH:
            return int(line[len(_LENGTH) :])
    raise Unavailable(f"An answer has no length: {head.decode(errors='replace')}")
