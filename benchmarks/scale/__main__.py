"""How costs grow with the size of the data: 12.5 million events, ten million items, a million leads and labels.

Run: python -m benchmarks.scale [--quick] [--json PATH] [--chart PATH] [--write-docs] [--from PATH]

Each part fills stores of growing sizes, measures the same work on each, and fits cost ∝ size^exponent. A run takes up
to an hour on two idle cores, with `--quick` up to five minutes. `--write-docs` writes docs/scale.md and its chart.
`--from` doesn't measure, and takes the measures that an earlier run wrote with `--json`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.homes import forget_settings
from benchmarks.report import Measure, Report, console, parser, read_json
from benchmarks.scale import generated, history, queue, states, training
from benchmarks.scale.docs import chart, page
from features.feast.store import known_warnings_ignored

# Name and work of each part; the work takes whether to do less.
PARTS: dict[str, Callable[[bool], Sequence[Measure]]] = {
    "event log on SQLite": history.on_sqlite,
    "generated items on SQLite": generated.on_sqlite,
    "queue on SQLite": queue.on_sqlite,
    "queue on PostgreSQL": queue.on_postgresql,
    "training": training.on_platforms,
    "state of a worker": states.on_each_store,
}


def main() -> int:
    """Run every part and report."""
    options = _options()
    forget_settings("CORPORA")
    report = Report("Growth", options.json)
    if options.earlier is not None:
        report.add(read_json(options.earlier))
    else:
        with known_warnings_ignored():
            for name, work in PARTS.items():
                report.part(name, lambda work=work: work(options.quick))  # type: ignore[misc]
    if options.write_docs and any(measure.value is None for measure in report.measures):
        console.print("docs/scale.md is left as it is, because a part failed.")
    elif options.write_docs:
        report.attempt("docs", lambda: page.write_docs(report.measures, quick=options.quick))
    if options.chart is not None:
        report.attempt("chart", lambda: chart.draw(report.measures, options.chart))
    return report.finish()


def _options() -> argparse.Namespace:
    takes = parser(__doc__ or "")
    takes.add_argument("--chart", type=Path, metavar="PATH", help="draw a chart (default with --write-docs: the docs')")
    takes.add_argument("--write-docs", action="store_true", help="write docs/scale.md")
    takes.add_argument("--from", type=Path, dest="earlier", metavar="PATH", help="use the measures of an earlier run")
    options = takes.parse_args()
    if options.write_docs and options.chart is None:
        options.chart = page.CHART
    return options


if __name__ == "__main__":
    sys.exit(main())
