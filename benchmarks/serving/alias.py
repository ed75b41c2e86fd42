"""How long after its alias has moved every worker serves a version, while requests run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

from benchmarks.report import Measure, at_most
from benchmarks.serving.load import LoadConnection, Reply, Request, drive, scores_in
from benchmarks.serving.servers import follower, our_service, wait_until_ready
from benchmarks.serving.systems.systems import score_request
from benchmarks.serving.versions import register_variant
from benchmarks.serving.world import ServedWorld
from leads.db.model_changes import CHAMPION
from leads.errors import LeadsError
from models.registry.mlflow_registry import MlflowRegistry

HARM = "spam"
_WORKERS = 2
_CONNECTIONS = 4
_BAR_S = 10.0
# Without an answer of the old version for the first, every worker serves the new one; if the old one still serves
# after the second, something is wrong.
_QUIET_S, _GIVE_UP_S = 3.0, 40.0


class Watch:
    """Sends requests without pause, over kept connections and new ones, and notes when each version answered last."""

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
        """When this version last answered, by `time.monotonic`."""
        with self._lock:
            return self._last.get(version)

    def _keep(self, requests: Iterator[Request]) -> None:
        while not self._stopped.is_set():
            try:
                drive(self._port, requests, connections=_CONNECTIONS, seconds=0.5, take=self._take)
            except (OSError, LeadsError):
                self._take(Reply(next(requests), 0.0, 0, b""))

    def _reconnect(self, requests: Iterator[Request]) -> None:
        """Open a connection for each request: a kept one stays with one worker."""
        while not self._stopped.is_set():
            request, began = next(requests), time.perf_counter()
            try:
                connection = LoadConnection(self._port)
                try:
                    answer = connection.exchange(request.raw)
                finally:
                    connection.close()
            except OSError:
                answer = (0, b"")
            self._take(Reply(request, time.perf_counter() - began, *answer))

    def _take(self, reply: Reply) -> None:
        with self._lock:
            self.answered += 1
            scores = scores_in(reply.body) if reply.status == 200 else []
            self.failed += len(scores) != reply.request.scores
            for score in scores:
                self._last[score.version] = time.monotonic()


def alias_moves(world: ServedWorld, folder: Path, moves: int) -> list[Measure]:
    """Move `champion` this many times under load; how long the slowest move took, and how many requests failed."""
    settings = world.redis
    versions = ["1", register_variant(settings, HARM, folder, 1)]
    registry = MlflowRegistry(settings)
    requests = [score_request(world.key, [id_], (HARM,)) for id_ in world.ids[:500]]
    took = []
    with our_service("two workers", settings, _WORKERS) as server, follower(settings):
        wait_until_ready(server, "/readyz")
        watch = Watch(server.port, requests)
        watch.start()
        try:
            for i in range(moves):
                took.append(_move(registry, watch, versions[i % 2], versions[1 - i % 2]))
        finally:
            watch.stop()
    registry.set_alias(HARM, CHAMPION, "1")
    return [
        at_most(
            "slowest time from moving the alias until both API processes serve the version",
            max(took),
            "s",
            _BAR_S,
        ),
        Measure("requests while the alias moved", watch.answered, "requests"),
        at_most("failed requests while the alias moved", watch.failed, "requests", 0),
    ]


def _move(registry: MlflowRegistry, watch: Watch, old: str, new: str) -> float:
    """Move the alias; returns the seconds until the old version answered last.

    Raises:
        LeadsError: the old version still serves long after.
    """
    moved = time.monotonic()
    registry.set_alias(HARM, CHAMPION, new)
    while time.monotonic() - moved < _GIVE_UP_S:
        time.sleep(0.1)
        last_old, last_new = watch.last(old), watch.last(new)
        since_old = time.monotonic() - max(last_old or moved, moved)
        if since_old > _QUIET_S and last_new is not None and last_new > moved:
            return max(last_old or moved, moved) - moved
    raise LeadsError(f"{HARM}: version {old} still serves {_GIVE_UP_S:.0f} s after the alias moved to version {new}.")
