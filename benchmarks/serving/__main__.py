"""Scoring over HTTP, on three set-ups of stores, compared with Feast's and MLflow's servers and with a floor.

Run: python -m benchmarks.serving [--quick] [--soak [SECONDS]] [--json PATH]

All servers run at once, with one process each, and are measured alternately. The peer is `feast serve` and `mlflow
models serve`, joined by a thin client that gets some of its input for free (see `systems.peer`). The floor has two
parts: a BentoML route that does nothing, and the work that no service can leave out, done in this process. That work is
one query for the stored texts, a pipelined read of the same Redis keys, `np.frombuffer`, `inplace_predict` and JSON.
Requests contain only the ids of known comments. Their texts have been scored before, as in production, where a text is
scored when it arrives.

Every run serves the same data and versions. They don't depend on the date or on the public corpora.

After the comparison, the champion's alias moves under load. With `--soak` it then moves every ten seconds for some
minutes, between good versions and damaged ones. A run without `--quick` in which no part fails writes its tables into
docs/benchmarks.md. With `--quick`, add `--write-docs` to write them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.homes import forget_settings, postgresql_url, redis_settings
from benchmarks.report import Report, console, parser
from benchmarks.serving.alias import alias_moves
from benchmarks.serving.cells import Results, Schedule
from benchmarks.serving.comparison import compared
from benchmarks.serving.docs import write_docs
from benchmarks.serving.reads import bytes_read
from benchmarks.serving.soak import soak
from benchmarks.serving.tables import grids, measures_of
from benchmarks.serving.world import make_world
from features.feast.store import known_warnings_ignored
from leads.processes import QUIET

_SOAK_S = 180.0


def measure(report: Report, folder: Path, options: argparse.Namespace) -> Results | None:
    """Make what is served, then run every part; returns the comparison's results."""
    with redis_settings(folder / "redis") as on_redis, postgresql_url(folder / "postgresql") as url:
        console.print("Making what is served")
        world = report.attempt("what is served", lambda: make_world(on_redis, url, folder, folder / "world.log"))
        if world is None:
            for part in ("comparison", "alias moves", *(["soak"] if options.soak else [])):
                report.fail(part, "It was not run, because there is nothing to serve.")
            return None
        results = report.attempt("comparison", lambda: compared(world, folder, Schedule.of(options.quick)))
        if results is not None:
            for system, why in results.failures.items():
                report.fail(system, why)
            report.part("bars", lambda: measures_of(results))
        report.part("bytes read", lambda: bytes_read(world))
        report.part("alias moves", lambda: alias_moves(world, folder, 1 if options.quick else 3))
        if options.soak:
            report.part("soak", lambda: soak(world, folder, options.soak))
    return results


def main() -> int:
    """Measure and report."""
    takes = parser(__doc__ or "")
    takes.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md after a quick run too")
    takes.add_argument("--soak", type=float, nargs="?", const=_SOAK_S, metavar="SECONDS", help="add a soak test (180)")
    options = takes.parse_args()
    forget_settings()
    os.environ.update(QUIET)
    report = Report("Scoring over HTTP", options.json)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary, known_warnings_ignored():
        results = report.attempt("serving", lambda: measure(report, Path(temporary), options))
    tables = [] if results is None else report.attempt("tables", lambda: grids(results)) or []
    for table in tables:
        table.show()
    if options.write_docs or not options.quick:
        if report.failures:
            console.print("docs/benchmarks.md is left as it is, because a part failed.")
        else:
            write_docs(tables, report.measures)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
