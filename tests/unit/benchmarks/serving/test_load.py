"""The load generator, against a server that answers as each request asks it to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

import msgspec
import pytest

from benchmarks.serving.load import Reply, Request, Score, drive, post, run_load, scores_in

pytestmark = pytest.mark.slow

SCORE = {"harm": "spam", "score": 0.5, "modelVersion": "3", "predictionId": "p"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        told = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        if told == "close":
            self.close_connection = True
            return
        body = msgspec.json.encode({"results": [{"scores": [SCORE]}] * told["scores"]})
        self.send_response(told["status"])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def told(scores: int, status: int = 200, wanted: int | None = None) -> Request:
    body = msgspec.json.encode({"scores": scores, "status": status})
    return Request(post("/", body), scores if wanted is None else wanted)


def test_every_answer_is_counted_and_a_wrong_one_is_a_failure(port: int) -> None:
    good = run_load(port, [told(1), told(5_000)], connections=3, seconds=0.2)
    assert (good.failed, len(good.latencies) >= 3) == (0, True)
    assert len(scores_in(good.sample[0])) in (1, 5_000)
    for request in (told(1, status=500), told(1, wanted=2)):
        bad = run_load(port, [request], connections=2, seconds=0.05)
        assert bad.failed == len(bad.latencies) > 0


def test_a_broken_connection_is_a_failure_and_is_made_again(port: int) -> None:
    statuses: list[int] = []
    requests = cycle([told(1), Request(post("/", b'"close"'), 1), told(1)])
    drive(port, requests, connections=1, seconds=0.1, take=lambda answer: statuses.append(answer.status), rate=40)
    assert statuses == [200, 0, 200, 200]


def test_every_request_that_is_due_is_sent(port: int) -> None:
    answers: list[Reply] = []
    drive(port, cycle([told(1)]), connections=2, seconds=0.5, take=answers.append, rate=40)
    assert len(answers) == 20


def test_a_connection_that_the_server_closes_while_idle_is_no_failure(port: int) -> None:
    statuses: list[int] = []
    # After the answer the server closes; the next request is due later.
    body = msgspec.json.encode({"scores": 1, "status": 200})
    requests = cycle([Request(post("/", body, {"connection": "close"}), 1)])
    drive(port, requests, connections=1, seconds=0.2, take=lambda answer: statuses.append(answer.status), rate=20)
    assert statuses == [200] * 4


def test_a_score_is_read_from_either_shape() -> None:
    found = [Score("spam", 0.5, "3", "p")]
    assert scores_in(msgspec.json.encode({"scores": [SCORE], "errors": []})) == found
    assert scores_in(msgspec.json.encode({"at": "", "results": [{"scores": [SCORE]}, {"scores": []}]})) == found
