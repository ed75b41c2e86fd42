"""The kinds of load, and what was measured of each system under them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from benchmarks.serving.load import LoadRun
from benchmarks.serving.stages import Stages
from leads.errors import Unavailable

# Names of systems.
REDIS, SQLITE, FLOOR, NOOP = "Redis", "SQLite", "floor", "no-op route"
# As in production: the event log on PostgreSQL, and the rows on Redis.
PRODUCTION = "PostgreSQL and Redis"

T = TypeVar("T")


class Cell(NamedTuple):
    """One kind of load."""

    items: int
    connections: int
    harms: int

    def __str__(self) -> str:
        return f"{self.items:,} items, {self.connections} connections, {self.harms} harms"


class Schedule(NamedTuple):
    """Which cells are measured, in how many rounds, and for how long in each."""

    sizes: tuple[int, ...]
    connections: tuple[int, ...]
    harms: tuple[int, ...]
    rounds: int
    seconds: float

    @property
    def cells(self) -> list[Cell]:
        return [Cell(n, c, h) for h in self.harms for c in self.connections for n in self.sizes]

    @staticmethod
    def of(quick: bool) -> Schedule:
        if quick:
            return Schedule((1, 100), (1, 16), (1,), rounds=2, seconds=1.0)
        return Schedule((1, 10, 100, 1_000), (1, 16), (1, 4), rounds=5, seconds=1.0)


@dataclass
class Outcome:
    """What was measured of a system in a cell, over all rounds."""

    p50_ms: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    requests: int = 0
    stages: Stages = field(default_factory=dict)

    def add(self, run: LoadRun, cpu_s: float) -> None:
        self.p50_ms.append(float(np.median(run.latencies)) * 1_000)
        self.latencies += run.latencies
        self.per_s.append(len(run.latencies) / run.seconds)
        self.cpu_s += cpu_s
        self.requests += len(run.latencies)

    @property
    def p50(self) -> float:
        """Median of the rounds' medians, in ms."""
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


class Memory(NamedTuple):
    """Resident memory of an API process in MB: as /proc reports it, and with each page counted once."""

    rss_mb: float
    pss_mb: float


class Results:
    """What was measured. A system that fails has no results, and the others go on without it.

    Attributes:
        systems: names of the systems that score.
        failures: why, by the name of what failed.
    """

    def __init__(self, systems: Sequence[str], schedule: Schedule) -> None:
        self.systems = tuple(systems)
        self.cells = schedule.cells
        self.failures: dict[str, str] = {}
        self.memory: dict[str, Memory] = {}
        self.floor_runs: dict[Cell, list[float]] = {cell: [] for cell in self.cells}
        self._outcomes = {(name, cell): Outcome() for name in self.systems for cell in self.cells}
        self._outcomes |= {(NOOP, cell): Outcome() for cell in self.noop_cells}

    @property
    def noop_cells(self) -> list[Cell]:
        """The loads of the route that does nothing: it has no items or harms."""
        return [Cell(1, connections, 1) for connections in dict.fromkeys(cell.connections for cell in self.cells)]

    def attempt(self, name: str, work: Callable[[], T]) -> T | None:
        """Do work for one of the systems; None when it fails, and from then on."""
        if name in self.failures:
            return None
        try:
            return work()
        except Exception as error:
            self.failures[name] = str(error) or type(error).__name__
            return None

    def collected(self, name: str, cell: Cell) -> Outcome:
        """Where rounds add what they measure."""
        return self._outcomes[name, cell]

    def outcome(self, name: str, cell: Cell) -> Outcome:
        """What was measured of a system in a cell.

        Raises:
            Unavailable: the system failed or never ran.
        """
        self._need(name)
        found = self._outcomes[name, cell]
        if not found.requests:
            raise Unavailable(f"{name} was not measured: {cell}.")
        return found

    def memory_of(self, name: str) -> Memory:
        """Raises Unavailable when the system failed or never ran."""
        self._need(name)
        if name not in self.memory:
            raise Unavailable(f"The memory of {name} was not measured.")
        return self.memory[name]

    def floor_per_item_s(self, cell: Cell) -> float:
        """Processor seconds per item: in process, and the item's share of a request to the route that does nothing.

        Raises:
            Unavailable: either failed.
        """
        self._need(FLOOR)
        runs = self.floor_runs[cell]
        if not runs:
            raise Unavailable(f"The floor was not measured: {cell}.")
        return sum(runs) / len(runs) + self.outcome(NOOP, Cell(1, cell.connections, 1)).cpu_per_item_s(1) / cell.items

    def _need(self, name: str) -> None:
        if name in self.failures:
            raise Unavailable(f"{name} failed: {self.failures[name]}")
