"""How costs grow with the size of the data: 12.5 million events, ten million items, a million leads and labels.

Run: python -m benchmarks.scale [--quick] [--only PART …] [--json PATH] [--chart PATH] [--write-docs] [--from PATH …]

Each part fills stores of growing sizes, measures the same work on each, and fits cost ∝ size^exponent. A run takes up
to an hour on two idle cores, with `--quick` up to five minutes. `--write-docs` writes docs/scale.md and its chart.
`--from` doesn't measure, and takes the measures that earlier runs wrote with `--json`. So the parts can also be
measured one by one, with `--only`, and put together afterwards.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
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
    if options.earlier:
        report.add(list({measure.name: measure for path in options.earlier for measure in read_json(path)}.values()))
    else:
        with known_warnings_ignored():
            for name in options.only or PARTS:
                report.part(name, partial(PARTS[name], options.quick))
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
    parts = f"measure these parts: {', '.join(PARTS)}"
    takes.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=parts)
    takes.add_argument(
        "--from", type=Path, nargs="+", dest="earlier", metavar="PATH", help="use the measures of earlier runs"
    )
    options = takes.parse_args()
    if options.write_docs and options.chart is None:
        options.chart = page.CHART
    return options


if __name__ == "__main__":
    sys.exit(main())
