"""The encoder in the service: an unseen text over HTTP, what it costs other requests, and memory."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.homes import sqlite_settings
from benchmarks.report import Measure, at_most, say
from benchmarks.serving.load import Reply, Request, drive, post
from benchmarks.serving.servers import Server, our_service, wait_until_ready
from benchmarks.serving.systems.systems import score_request
from benchmarks.serving.world import HARMS, comments, make_champions, new_key
from leads import clock
from leads.errors import Unavailable
from leads.settings import Settings
from leads.text import text_hash
from models.registry.encoders import EncoderRegistry
from models.registry.versions import RunRecord
from models.text.sentence import CachedEncoder

Doubles = npt.NDArray[np.float64]

_MS, _DELAY_MS, _MEMORY_MB = 8, 20, 150
_SECONDS, _WARM_UP_S, _RATE = 15.0, 3.0, 50.0
# Known comments that are asked for, and unseen texts of one request.
_KNOWN, _MANY = 500, 32


def served(tuned: CachedEncoder, texts: Sequence[str]) -> list[Measure]:
    """Versions that need the encoder next to the same versions without one, each in a home of its own."""
    with tempfile.TemporaryDirectory() as folder:
        without, with_ = (sqlite_settings(Path(folder, name)) for name in ("without", "with"))
        _register(with_, tuned)
        say("two platforms whose versions are trained without and with the encoder")
        for settings in (without, with_):
            make_champions(settings, Path(folder, f"work-{settings.root.name}"), Path(folder, "log.txt"))
        with _service(without) as plain:
            _latencies(plain.server.port, _Unseen(plain.key, texts).requests(1), _WARM_UP_S)
            before_mb = plain.server.pss_mb()
        with _service(with_) as encoding:
            port, unseen = encoding.server.port, _Unseen(encoding.key, texts)
            _latencies(port, unseen.requests(1), _WARM_UP_S)
            more_mb = encoding.server.pss_mb() - before_mb
            say("unseen texts over HTTP")
            known = cycle([score_request(encoding.key, [id_], (HARMS[0],)) for id_ in comments(with_)[:_KNOWN]])
            alone = _latencies(port, unseen.requests(1), _SECONDS)
            # Where a worker runs, it encodes comments when they arrive.
            _latencies(port, known, 2 * _WARM_UP_S)
            quiet = _latencies(port, known, _SECONDS, _RATE)
            beside = _beside(port, known, unseen.requests(_MANY))
    delays, name = beside - np.median(quiet), f"known comment beside requests of {_MANY} unseen texts"
    return [
        at_most("one unseen text over HTTP, p50", float(np.median(alone)), "ms", _MS),
        Measure("one unseen text over HTTP, p99", float(np.quantile(alone, 0.99)), "ms"),
        Measure("known comment while nothing else is asked for, p50", float(np.median(quiet)), "ms"),
        Measure("known comment while nothing else is asked for, slowest", float(quiet.max()), "ms"),
        at_most(f"{name}: delay, p99", float(np.quantile(delays, 0.99)), "ms", _DELAY_MS),
        Measure(f"{name}: longest delay", float(delays.max()), "ms"),
        at_most("an API process's memory with the encoder, more than without", more_mb, "MB", _MEMORY_MB),
    ]


def _register(settings: Settings, tuned: CachedEncoder) -> None:
    """Make it the encoder that the home's harms are trained with."""
    assert tuned.folder is not None
    registry = EncoderRegistry(settings)
    run_id = registry.begin_run("benchmark", at=clock.now(), tags={})
    number = registry.register(tuned.folder, RunRecord(fingerprint="benchmark"), run_id)
    registry.end_run(run_id, "FINISHED")
    registry.promote(number, "benchmark")


class _Service(NamedTuple):
    """A service that is ready, and a key that it accepts."""

    server: Server
    key: str


@contextmanager
def _service(settings: Settings) -> Iterator[_Service]:
    with our_service("our service", settings) as server:
        wait_until_ready(server, "/readyz")
        yield _Service(server, new_key(settings))


class _Unseen:
    """Makes requests whose texts the service hasn't seen: each is sent once."""

    def __init__(self, key: str, texts: Sequence[str]) -> None:
        self._headers = {"x-api-key": key}
        different = list({text_hash(text): text for text in texts}.values())
        self._texts = iter(np.random.default_rng(0).permutation(np.array(different, dtype=object)).tolist())

    def requests(self, n: int) -> Iterator[Request]:
        """Requests of n texts each, as long as there are texts."""
        while len(some := list(islice(self._texts, n))) == n:
            subjects = [{"id": f"new-{i}", "typeId": "comment", "data": {"text": one}} for i, one in enumerate(some)]
            body = msgspec.json.encode({"subjects": subjects, "harms": [HARMS[0]]})
            yield Request(post("/v1/score", body, self._headers), n)


def _latencies(port: int, requests: Iterator[Request], seconds: float, rate: float | None = None) -> Doubles:
    """Milliseconds of the requests of one connection, each from when it was due.

    Raises:
        Unavailable: one failed.
    """
    found: list[float] = []

    def take(reply: Reply) -> None:
        if reply.status != 200:
            raise Unavailable(f"A request was answered with {reply.status}: {reply.body[:300]!r}")
        found.append(reply.seconds * 1_000)

    drive(port, requests, connections=1, seconds=seconds, take=take, rate=rate)
    return np.array(found)


def _beside(port: int, known: Iterator[Request], others: Iterator[Request]) -> Doubles:
    """The same of known comments while another connection sends other requests without a pause."""
    failed: list[Exception] = []

    def load() -> None:
        try:
            _latencies(port, others, _SECONDS + 1)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    found = _latencies(port, known, _SECONDS, _RATE)
    thread.join()
    if failed:
        raise failed[0]
    return found
