"""Scoring over HTTP: this service on Redis and SQLite beside Feast's and MLflow's servers, and the floor.

Run: python -m benchmarks.serving [--quick] [--json PATH]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks._report import Measure, arguments, report
from benchmarks._serving_floor import Floor
from benchmarks._serving_rounds import Plan, Results, interleaved
from benchmarks._serving_servers import Server, bento_command, environment, free_port, launched, wait_until_ready
from benchmarks._serving_systems import Noop, Ours
from benchmarks._serving_tables import measures_of, show
from benchmarks._serving_world import World, console, make_world
from benchmarks.features import redis_settings
from features.store import known_warnings_ignored
from leads.settings import Settings


@contextmanager
def ours(name: str, settings: Settings, workers: int = 1) -> Iterator[Server]:
    """This service."""
    port = free_port()
    command = bento_command("serving.service:LeadServing", port, workers)
    log = settings.root / "logs" / "serve.log"
    with launched(name, command, port, env=environment(settings), log=log) as server:
        yield server


@contextmanager
def noop(settings: Settings) -> Iterator[Server]:
    """The route that does nothing."""
    port = free_port()
    command = bento_command("benchmarks._serving_noop:Noop", port)
    log = settings.root / "logs" / "noop.log"
    with launched("the no-op service", command, port, env=environment(settings), log=log) as server:
        yield server


def compared(world: World, quick: bool) -> Results:
    """Everything up at once, in turns."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(ours("Redis", world.redis)),
            stack.enter_context(ours("SQLite", world.sqlite)),
            stack.enter_context(noop(world.redis)),
        ]
        floor = Floor(world)
        stack.callback(floor.close)
        for server in servers:
            wait_until_ready(server, "/readyz")
        systems = [Ours("Redis", servers[0], world), Ours("SQLite", servers[1], world)]
        return interleaved(world, systems, Noop(servers[2]), floor, Plan.of(quick))


def main() -> int:
    """Make the world, measure, report."""
    given = arguments(__doc__ or "")
    measures: list[Measure] = []
    with tempfile.TemporaryDirectory() as temporary, known_warnings_ignored():
        folder = Path(temporary)
        with redis_settings(folder) as on_redis:
            on_redis.root.mkdir(parents=True)
            console.print("Making what is served")
            world = make_world(on_redis, folder, folder / "world.log")
            results = compared(world, given.quick)
        show(results)
        measures += measures_of(results)
    return report("Scoring over HTTP", measures, given.json)


if __name__ == "__main__":
    sys.exit(main())
