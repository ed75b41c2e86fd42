"""Rounds that alternate between systems, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rich.progress import Progress

from benchmarks.serving.load import scores_in
from benchmarks.serving.stages import added, since
from benchmarks.serving.systems.floor import Floor
from benchmarks.serving.systems.systems import Cell, Noop, Ours, Outcome, System
from benchmarks.serving.world import World, console
from leads.errors import LeadsError

# In process a run is this many items, in batches of the cell's size.
_FLOOR_ITEMS = 2_000
# Cells with more items under way at once aren't warmed up: the smaller ones have done it, and they take long.
_WARM_UP = 1_600


class Plan(NamedTuple):
    """What is measured, and for how long."""

    sizes: tuple[int, ...]
    connections: tuple[int, ...]
    harms: tuple[int, ...]
    rounds: int
    seconds: float

    @property
    def cells(self) -> list[Cell]:
        return [Cell(n, c, h) for h in self.harms for c in self.connections for n in self.sizes]

    @staticmethod
    def of(quick: bool) -> Plan:
        if quick:
            return Plan((1, 100), (1, 16), (1,), rounds=2, seconds=1.0)
        return Plan((1, 10, 100, 1_000), (1, 16), (1, 4), rounds=3, seconds=1.5)


@dataclass
class Results:
    """By system and cell; the floor's processor seconds per item by cell; resident memory in MB by system:
    as /proc says, and with each page counted once."""

    outcomes: dict[str, dict[Cell, Outcome]] = field(default_factory=dict)
    floor_cpu_s: dict[Cell, float] = field(default_factory=dict)
    noop: dict[int, Outcome] = field(default_factory=dict)
    memory_mb: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        """Every kind of load, the same for all systems."""
        return list(next(iter(self.outcomes.values())))

    def floor_per_item_s(self, cell: Cell) -> float:
        """Processor seconds per item: in process, and a request's share of a route that does nothing."""
        noop = self.noop[cell.connections]
        return self.floor_cpu_s[cell] + noop.cpu_per_item_s(1) / cell.items


def interleaved(world: World, systems: Sequence[System], noop: Noop, floor: Floor, plan: Plan) -> Results:
    """Run every cell on every system, round after round; the first round only warms up.

    Raises:
        LeadsError: an answer wasn't 200 with every score in it.
    """
    results = Results({system.name: {cell: Outcome() for cell in plan.cells} for system in systems})
    results.noop = {connections: Outcome() for connections in plan.connections}
    floor_runs: dict[Cell, list[float]] = {cell: [] for cell in plan.cells}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=(plan.rounds + 1) * len(plan.cells))
        for round_ in range(plan.rounds + 1):
            seconds = plan.seconds if round_ else plan.seconds / 3
            for cell in plan.cells:
                if not round_ and cell.items * cell.connections > _WARM_UP:
                    continue
                progress.update(task, advance=1, description=f"round {round_}: {cell}")
                for system in _turned(systems, round_):
                    _measure(system, cell, seconds, round_, results.outcomes[system.name][cell])
                taken = _floor(world, floor, cell, round_)
                if round_:
                    floor_runs[cell].append(taken)
            for connections, outcome in results.noop.items():
                _measure(noop, Cell(1, connections, 1), seconds, round_, outcome)
    results.floor_cpu_s = {cell: sum(taken) / len(taken) for cell, taken in floor_runs.items()}
    for system in systems:
        if isinstance(system, Ours):
            results.memory_mb[system.name] = (system.server.rss_mb(), system.server.pss_mb())
    return results


def _turned(systems: Sequence[System], round_: int) -> list[System]:
    """Each round another one begins."""
    first = round_ % len(systems)
    return [*systems[first:], *systems[:first]]


def _measure(system: System, cell: Cell, seconds: float, round_: int, outcome: Outcome) -> None:
    before = system.stages() if isinstance(system, Ours) else {}
    cpu_s = system.cpu_s()
    run = system.run(cell, seconds, round_)
    cpu_s = system.cpu_s() - cpu_s
    if run.failed:
        tail = run.sample[0][:500].decode(errors="replace")
        raise LeadsError(f"{system.name}, {cell}: {run.failed} of {len(run.latencies)} answers were wrong: {tail}")
    if isinstance(system, Ours):
        for body in run.sample:
            assert len(scores_in(body)) == cell.items * cell.harms
    if round_:
        outcome.add(run, cpu_s)
        if isinstance(system, Ours):
            outcome.stages = added(outcome.stages, since(before, system.stages()))


def _floor(world: World, floor: Floor, cell: Cell, round_: int) -> float:
    """Processor seconds per item in process."""
    chance = random.Random(round_)
    batches = [world.draw(cell.items, chance) for _ in range(max(1, _FLOOR_ITEMS // cell.items))]
    return floor.cpu_s(batches, cell.harms) / (len(batches) * cell.items)
