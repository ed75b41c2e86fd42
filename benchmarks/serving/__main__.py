"""Scoring over HTTP: this service on Redis and SQLite beside Feast's and MLflow's servers, and the floor.

Run: python -m benchmarks.serving.__main__ [--quick] [--soak [SECONDS]] [--json PATH]

All servers are up at once and take turns, one worker each. The peer is `feast serve` and `mlflow models serve` joined
by a thin client, with what it is given for nothing (`systems.peer`). The floor is a BentoML route that does
nothing, and in this process what can't be left out: stored texts by bare SQL, a pipelined read of the same Redis keys,
`np.frombuffer`, `inplace_predict`, JSON. Items are comments that the platform knows, sent by id alone; their texts were
scored before, as in production on arrival. A whole run trains on the public corpora where they are found, `--quick`
without.

Then the champion's alias moves under load, and with `--soak` it moves every ten seconds for minutes, bad versions among
the good. A whole run writes its tables into docs/benchmarks.md; `--quick` doesn't, unless told by `--write-docs`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.features.__main__ import redis_settings
from benchmarks.report import Measure, parser, report
from benchmarks.serving.alias import alias_moves
from benchmarks.serving.docs import write_docs
from benchmarks.serving.rounds import Plan, Results, interleaved
from benchmarks.serving.soak import soak
from benchmarks.serving.systems.floor import Floor
from benchmarks.serving.systems.peer import Pair, pair
from benchmarks.serving.systems.servers import noop, ours, wait_until_ready
from benchmarks.serving.systems.systems import Noop, Ours, System
from benchmarks.serving.tables import grids, measures_of
from benchmarks.serving.world import World, console, make_world
from features.feast.store import known_warnings_ignored
from leads.processes import QUIET
from leads.settings import load_settings

_SOAK_S = 180.0


def compared(world: World, folder: Path, plan: Plan) -> Results:
    """Everything up at once, in turns."""
    with ExitStack() as stack:
        floor = Floor(world)
        stack.callback(floor.close)
        feast, mlflow = stack.enter_context(pair(world, floor, folder / "peer"))
        redis, sqlite = (stack.enter_context(ours(x.online_store, x)) for x in (world.redis, world.sqlite))
        nothing = stack.enter_context(noop(world.redis))
        for server, path in ((redis, "/readyz"), (sqlite, "/readyz"), (nothing, "/readyz"), (feast, "/health")):
            wait_until_ready(server, path)
        wait_until_ready(mlflow, "/ping")
        systems: list[System] = [
            Ours("Redis", redis, world),
            Ours("SQLite", sqlite, world),
            Pair(feast, mlflow, world, floor),
        ]
        return interleaved(world, systems, Noop(nothing), floor, plan)


def _given() -> argparse.Namespace:
    takes = parser(__doc__ or "")
    takes.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md after a quick run too")
    takes.add_argument("--soak", type=float, nargs="?", const=_SOAK_S, metavar="SECONDS", help="default: 180")
    return takes.parse_args()


def main() -> int:
    """Make the world, measure, report."""
    given = _given()
    os.environ.update(QUIET)
    with tempfile.TemporaryDirectory() as temporary, known_warnings_ignored():
        folder = Path(temporary)
        with redis_settings(folder) as on_redis:
            if not given.quick:
                on_redis = on_redis.model_copy(update={"corpora": load_settings().corpora_dir})
            on_redis.root.mkdir(parents=True)
            console.print("Making what is served")
            world = make_world(on_redis, folder, folder / "world.log")
            results = compared(world, folder, Plan.of(given.quick))
            measures: list[Measure] = measures_of(results)
            measures += alias_moves(world, folder, 1 if given.quick else 3)
            if given.soak:
                measures += soak(world, folder, given.soak)
    tables = grids(results)
    for table in tables:
        table.show()
    if given.write_docs or not given.quick:
        write_docs(tables, measures)
    return report("Scoring over HTTP", measures, given.json)


if __name__ == "__main__":
    sys.exit(main())
