"""What is compared, behind one interface: a system runs a cell's load and says what its servers' processors did."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from benchmarks.serving import load as load
from benchmarks.serving.load import Request, Run, post
from benchmarks.serving.stages import Stages, read_stages
from benchmarks.serving.systems.servers import Server, get
from benchmarks.serving.world import HARMS, World

# Prebuilt requests of a cell: enough that no one's answer is remembered for the next.
_ITEMS_PREBUILT = 20_000


class Cell(NamedTuple):
    """One kind of load."""

    items: int
    connections: int
    harms: int

    def __str__(self) -> str:
        return f"{self.items:,} items, {self.connections} connections, {self.harms} harms"


class System(Protocol):
    """Something that scores."""

    @property
    def name(self) -> str: ...

    def run(self, cell: Cell, seconds: float, round_: int) -> Run:
        """Load for so many seconds."""
        ...

    def cpu_s(self) -> float:
        """Processor seconds of the answering servers so far."""
        ...


@dataclass
class Outcome:
    """What a system did in a cell, over all rounds."""

    p50_ms: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    requests: int = 0
    failed: int = 0
    stages: Stages = field(default_factory=dict)

    def add(self, run: Run, cpu_s: float) -> None:
        self.p50_ms.append(float(np.median(run.latencies)) * 1_000)
        self.latencies += run.latencies
        self.per_s.append(len(run.latencies) / run.seconds)
        self.cpu_s += cpu_s
        self.requests += len(run.latencies)
        self.failed += run.failed

    @property
    def p50(self) -> float:
        """Of the rounds' medians, in ms."""
        return float(np.median(self.p50_ms))

    @property
    def p99(self) -> float:
        """Over all rounds, in ms."""
        return float(np.quantile(self.latencies, 0.99)) * 1_000

    @property
    def requests_per_s(self) -> float:
        return float(np.median(self.per_s))

    def cpu_per_item_s(self, items: int) -> float:
        """Processor seconds of the servers per item."""
        return self.cpu_s / (self.requests * items)


class Ours:
    """This service on one store."""

    def __init__(self, name: str, server: Server, world: World) -> None:
        self.name = name
        self.server = server
        self._world = world
        self._pools: dict[tuple[int, int], list[Request]] = {}

    def run(self, cell: Cell, seconds: float, round_: int) -> Run:
        requests = self.requests(cell.items, cell.harms)
        # Rounds begin at different requests.
        offset = round_ * 7_919
        return load.run(self.server.port, requests, connections=cell.connections, seconds=seconds, offset=offset)

    def cpu_s(self) -> float:
        return self.server.cpu_s()

    def stages(self) -> Stages:
        """Seconds and calls by stage so far."""
        status, text = get(self.server.port, "/metrics", {"x-api-key": self._world.key})
        return read_stages(text.decode()) if status == 200 else {}

    def requests(self, items: int, harms: int) -> list[Request]:
        """Prebuilt requests of that size, each with its own known ids."""
        if (items, harms) not in self._pools:
            chance = random.Random(items * 10 + harms)
            count = max(16, _ITEMS_PREBUILT // items)
            ids = [self._world.draw(items, chance) for _ in range(min(count, 2_000))]
            self._pools[items, harms] = [score_request(self._world.key, one, HARMS[:harms]) for one in ids]
        return self._pools[items, harms]


class Noop:
    """A BentoML route that does nothing."""

    name = "no-op route"

    def __init__(self, server: Server) -> None:
        self.server = server
        self._requests = [Request(post("/nothing", b"{}"), 0)]

    def run(self, cell: Cell, seconds: float, round_: int) -> Run:
        return load.run(self.server.port, self._requests, connections=cell.connections, seconds=seconds)

    def cpu_s(self) -> float:
        return self.server.cpu_s()


def score_request(key: str, ids: list[str], harms: tuple[str, ...]) -> Request:
    """`POST /v1/score` of known comments, by id alone."""
    subjects = [{"id": id_, "typeId": "comment"} for id_ in ids]
    body = msgspec.json.encode({"subjects": subjects, "harms": harms})
    return Request(post("/v1/score", body, {"x-api-key": key}), len(ids) * len(harms))
