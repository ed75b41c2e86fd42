"""The compared systems behind one interface: each runs a load and reports the processor time of its servers."""

from __future__ import annotations

import random
from typing import Protocol

import msgspec

from benchmarks.serving.cells import NOOP, Cell
from benchmarks.serving.load import LoadRun, Request, post, run_load
from benchmarks.serving.servers import Server, get, wait_until_ready
from benchmarks.serving.stages import Stages, read_stages
from benchmarks.serving.world import HARMS, ServedWorld

# Items in the prebuilt requests of a cell: enough that no request finds what the last one left in a cache.
_ITEMS_PREBUILT = 20_000


class System(Protocol):
    """One or more servers that answer requests."""

    @property
    def name(self) -> str: ...

    def wait(self) -> None:
        """Wait until it is ready. Raises Unavailable when it isn't after minutes."""
        ...

    def run(self, cell: Cell, seconds: float, round_: int) -> LoadRun:
        """Put it under load for this many seconds."""
        ...

    def cpu_s(self) -> float:
        """Processor seconds of its servers so far."""
        ...


class OurService:
    """This service on one store.

    Args:
        key: an API key that it accepts.
    """

    def __init__(self, name: str, server: Server, world: ServedWorld, key: str) -> None:
        self.name = name
        self.server = server
        self._world = world
        self._key = key
        self._pools: dict[tuple[int, int], list[Request]] = {}

    def wait(self) -> None:
        wait_until_ready(self.server, "/readyz")

    def run(self, cell: Cell, seconds: float, round_: int) -> LoadRun:
        requests = self.requests(cell.items, cell.harms)
        # Each round starts at a different request.
        offset = round_ * 7_919
        return run_load(self.server.port, requests, connections=cell.connections, seconds=seconds, offset=offset)

    def cpu_s(self) -> float:
        return self.server.cpu_s()

    def stages(self) -> Stages:
        """Seconds and calls so far, by stage."""
        status, text = get(self.server.port, "/metrics", {"x-api-key": self._key})
        return read_stages(text.decode()) if status == 200 else {}

    def requests(self, items: int, harms: int) -> list[Request]:
        """Prebuilt requests of this size, each with known ids of its own."""
        if (items, harms) not in self._pools:
            chance = random.Random(items * 10 + harms)
            count = max(16, _ITEMS_PREBUILT // items)
            ids = [self._world.draw(items, chance) for _ in range(min(count, 2_000))]
            self._pools[items, harms] = [score_request(self._key, one, HARMS[:harms]) for one in ids]
        return self._pools[items, harms]


class NoopRoute:
    """A BentoML route that does nothing."""

    name = NOOP

    def __init__(self, server: Server) -> None:
        self.server = server
        self._requests = [Request(post("/nothing", b"{}"), 0)]

    def wait(self) -> None:
        wait_until_ready(self.server, "/readyz")

    def run(self, cell: Cell, seconds: float, round_: int) -> LoadRun:
        return run_load(self.server.port, self._requests, connections=cell.connections, seconds=seconds)

    def cpu_s(self) -> float:
        return self.server.cpu_s()


def score_request(key: str, ids: list[str], harms: tuple[str, ...]) -> Request:
    """`POST /v1/score` for known comments, by id alone."""
    subjects = [{"id": id_, "typeId": "comment"} for id_ in ids]
    body = msgspec.json.encode({"subjects": subjects, "harms": harms})
    return Request(post("/v1/score", body, {"x-api-key": key}), len(ids) * len(harms))
