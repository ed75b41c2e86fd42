"""This service, its peer and the floor, all running at once and measured alternately."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.serving.cells import FLOOR, NOOP, PRODUCTION, REDIS, SQLITE, Results, Schedule
from benchmarks.serving.rounds import interleaved
from benchmarks.serving.servers import noop_service, our_service
from benchmarks.serving.systems.floor import Floor
from benchmarks.serving.systems.peer import Pair, pair
from benchmarks.serving.systems.systems import NoopRoute, OurService, System
from benchmarks.serving.world import ServedWorld
from leads.settings import Settings


def compared(world: ServedWorld, folder: Path, schedule: Schedule) -> Results:
    """Measure every system under every load. What doesn't start, or fails under load, is left out."""
    results = Results((REDIS, SQLITE, PRODUCTION, Pair.name), schedule)
    with ExitStack() as stack:

        def ours(name: str, settings: Settings, key: str = world.key) -> OurService:
            return OurService(name, stack.enter_context(our_service(name, settings)), world, key)

        floor = results.attempt(FLOOR, lambda: Floor(world))
        if floor is None:
            results.failures[Pair.name] = "The floor failed, which reads the rows that Feast is to serve."
        else:
            stack.callback(floor.close)
        started: list[System | None] = [
            results.attempt(REDIS, lambda: ours(REDIS, world.redis)),
            results.attempt(SQLITE, lambda: ours(SQLITE, world.sqlite)),
            results.attempt(PRODUCTION, lambda: ours(PRODUCTION, world.production, world.production_key)),
            results.attempt(Pair.name, lambda: _pair(stack, world, floor, folder)),
        ]
        noop = results.attempt(NOOP, lambda: NoopRoute(stack.enter_context(noop_service(world.redis))))
        for system in (*started, noop):
            if system is not None:
                results.attempt(system.name, partial(system.wait))
        systems = [system for system in started if system is not None]
        interleaved(world, systems, noop, floor, schedule, results)
    return results


def _pair(stack: ExitStack, world: ServedWorld, floor: Floor | None, folder: Path) -> Pair:
    assert floor is not None
    feast, mlflow = stack.enter_context(pair(world, floor, folder / "peer"))
    return Pair(feast, mlflow, world, floor)
