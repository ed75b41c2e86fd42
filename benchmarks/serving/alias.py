"""How long after its alias moved a version answers from every worker, while requests run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

from benchmarks.report import Measure, at_most
from benchmarks.serving.load import Answer, Connection, Request, drive, scores_in
from benchmarks.serving.systems.servers import follower, ours, wait_until_ready
from benchmarks.serving.systems.systems import score_request
from benchmarks.serving.versions import register_variant
from benchmarks.serving.world import World
from leads.errors import LeadsError
from models.registry.registry import Registry

HARM = "spam"
_WORKERS = 2
_CONNECTIONS = 4
_BAR_S = 10.0
# After so long without the old version every worker has the new one; after so long with it something is wrong.
_QUIET_S, _GIVE_UP_S = 3.0, 40.0


class Watch:
    """Requests without pause, kept connections and new ones, and which version answered when."""

    def __init__(self, port: int, requests: Sequence[Request]) -> None:
        self.failed = 0
        self.answered = 0
        self._port = port
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(cycle(requests),)),
            threading.Thread(target=self._reconnect, args=(cycle(requests),)),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def last(self, version: str) -> float | None:
        """When this version answered last, by `time.monotonic`."""
        with self._lock:
            return self._last.get(version)

    def _keep(self, requests: Iterator[Request]) -> None:
        while not self._stopped.is_set():
            try:
                drive(self._port, requests, connections=_CONNECTIONS, seconds=0.5, take=self._take)
            except (OSError, LeadsError):
                self._take(Answer(next(requests), 0.0, 0, b""))

    def _reconnect(self, requests: Iterator[Request]) -> None:
        """A connection stays with one worker, so each request opens its own."""
        while not self._stopped.is_set():
            request, began = next(requests), time.perf_counter()
            try:
                connection = Connection(self._port)
                try:
                    answer = connection.exchange(request.raw)
                finally:
                    connection.close()
            except OSError:
                answer = (0, b"")
            self._take(Answer(request, time.perf_counter() - began, *answer))

    def _take(self, answer: Answer) -> None:
        with self._lock:
            self.answered += 1
            scores = scores_in(answer.body) if answer.status == 200 else []
            self.failed += len(scores) != answer.request.scores
            for score in scores:
                self._last[score.version] = time.monotonic()


def alias_moves(world: World, folder: Path, moves: int) -> list[Measure]:
    """Move `champion` so many times under load; how long the slowest took, and what failed."""
    settings = world.redis
    versions = ["1", register_variant(settings, HARM, folder, 1)]
    registry = Registry(settings)
    requests = [score_request(world.key, [id_], (HARM,)) for id_ in world.ids[:500]]
    took = []
    with ours("two workers", settings, _WORKERS) as server, follower(settings):
        wait_until_ready(server, "/readyz")
        watch = Watch(server.port, requests)
        watch.start()
        try:
            for i in range(moves):
                took.append(_move(registry, watch, versions[i % 2], versions[1 - i % 2]))
        finally:
            watch.stop()
    registry.set_alias(HARM, "champion", "1")
    return [
        at_most(f"alias moved → both workers answer with it, slowest of {moves}", max(took), "s", _BAR_S),
        at_most(f"failed requests meanwhile, of {watch.answered:,}", watch.failed, "requests", 0),
    ]


def _move(registry: Registry, watch: Watch, old: str, new: str) -> float:
    """Seconds from the alias's move to the last answer of the old version.

    Raises:
        LeadsError: the old version still answers after a long time.
    """
    moved = time.monotonic()
    registry.set_alias(HARM, "champion", new)
    while time.monotonic() - moved < _GIVE_UP_S:
        time.sleep(0.1)
        last_old, last_new = watch.last(old), watch.last(new)
        since_old = time.monotonic() - max(last_old or moved, moved)
        if since_old > _QUIET_S and last_new is not None and last_new > moved:
            return max(last_old or moved, moved) - moved
    raise LeadsError(f"{HARM} version {old} still answers {_GIVE_UP_S:.0f} s after the alias moved to {new}.")
