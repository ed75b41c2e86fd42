"""How costs grow with the size of the data: the event log up to 12.5 million events, the queue up to a million leads,
training up to a platform of 20,000 accounts and a million labels.

Run: python -m benchmarks.scale [--quick] [--json PATH]

Each part fills stores of growing sizes, measures the same work on each, and fits cost ∝ size^exponent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks.homes import forget_settings
from benchmarks.report import Measure, Report, arguments
from benchmarks.scale import history, queue, states, training

# Name and work of each part; the work takes whether to do less.
PARTS: dict[str, Callable[[bool], Sequence[Measure]]] = {
    "event log on SQLite": history.on_sqlite,
    "queue on SQLite": queue.on_sqlite,
    "queue on PostgreSQL": queue.on_postgresql,
    "training": training.on_platforms,
    "state of a worker": states.on_each_store,
}


def main() -> int:
    """Run every part and report."""
    options = arguments(__doc__ or "")
    forget_settings("CORPORA")
    report = Report("Growth", options.json)
    for name, work in PARTS.items():
        report.part(name, lambda work=work: work(options.quick))  # type: ignore[misc]
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
