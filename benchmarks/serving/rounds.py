"""Rounds that alternate between systems, so that whatever else the machine does affects all of them alike."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from rich.progress import Progress

from benchmarks.report import console
from benchmarks.serving.cells import FLOOR, Cell, Memory, Outcome, Results, Schedule
from benchmarks.serving.load import scores_in
from benchmarks.serving.stages import added, since
from benchmarks.serving.systems.floor import Floor
from benchmarks.serving.systems.systems import NoopRoute, OurService, System
from benchmarks.serving.world import ServedWorld
from leads.errors import LeadsError

# Items of one run of the floor, in batches of the cell's size.
_FLOOR_ITEMS = 2_000
# Cells with more items in flight aren't warmed up: they take long, and the smaller ones have warmed everything up.
_WARM_UP = 1_600


def interleaved(
    world: ServedWorld,
    systems: Sequence[System],
    noop: NoopRoute | None,
    floor: Floor | None,
    schedule: Schedule,
    results: Results,
) -> None:
    """Run every cell on every system, round after round; the first round only warms up.

    A system that fails is left out from then on.
    """
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=(schedule.rounds + 1) * len(schedule.cells))
        for round_ in range(schedule.rounds + 1):
            seconds = schedule.seconds if round_ else schedule.seconds / 3
            for cell in schedule.cells:
                if not round_ and cell.items * cell.connections > _WARM_UP:
                    continue
                progress.update(task, advance=1, description=f"round {round_}: {cell}")
                for system in _turned(systems, round_):
                    _measure(results, system, cell, seconds, round_)
                if floor is not None:
                    taken = results.attempt(FLOOR, partial(_floor, world, floor, cell, round_))
                    if round_ and taken is not None:
                        results.floor_runs[cell].append(taken)
            if noop is not None:
                for cell in results.noop_cells:
                    _measure(results, noop, cell, seconds, round_)
    for system in systems:
        if isinstance(system, OurService):
            memory = results.attempt(system.name, partial(_memory, system))
            if memory is not None:
                results.memory[system.name] = memory


def _turned(systems: Sequence[System], round_: int) -> list[System]:
    """Each round starts with another system."""
    if not systems:
        return []
    first = round_ % len(systems)
    return [*systems[first:], *systems[:first]]


def _measure(results: Results, system: System, cell: Cell, seconds: float, round_: int) -> None:
    def work() -> None:
        _run(system, cell, seconds, round_, results.collected(system.name, cell))

    results.attempt(system.name, work)


def _run(system: System, cell: Cell, seconds: float, round_: int, outcome: Outcome) -> None:
    """Raises LeadsError when an answer isn't 200 with every score in it."""
    before = system.stages() if isinstance(system, OurService) else {}
    cpu_s = system.cpu_s()
    run = system.run(cell, seconds, round_)
    cpu_s = system.cpu_s() - cpu_s
    if run.failed:
        start = run.sample[0][:500].decode(errors="replace")
        raise LeadsError(f"{cell}: {run.failed} of {len(run.latencies)} answers were wrong, for example: {start}")
    if isinstance(system, OurService) and any(len(scores_in(x)) != cell.items * cell.harms for x in run.sample):
        raise LeadsError(f"{cell}: an answer doesn't hold {cell.items * cell.harms} scores.")
    if round_:
        outcome.add(run, cpu_s)
        if isinstance(system, OurService):
            outcome.stages = added(outcome.stages, since(before, system.stages()))


def _memory(system: OurService) -> Memory:
    return Memory(system.server.rss_mb(), system.server.pss_mb())


def _floor(world: ServedWorld, floor: Floor, cell: Cell, round_: int) -> float:
    """Processor seconds per item in process."""
    chance = random.Random(round_)
    batches = [world.draw(cell.items, chance) for _ in range(max(1, _FLOOR_ITEMS // cell.items))]
    return floor.cpu_s(batches, cell.harms) / (len(batches) * cell.items)
