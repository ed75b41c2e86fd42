"""Folding, writing and reading feature rows on SQLite and Redis, compared with Feast and the stores' own clients.

Run: python -m benchmarks.features [--quick] [--json PATH]

Every comparison uses the same entities and measures the two sides alternately. Feast runs
`get_online_features(...).to_dict()` and `write_to_online_store` on a view with one float feature per column. It also
runs `write_to_offline_store`, which reads and rewrites the whole Parquet file. The stores' own clients read the very
same keys in one pipeline or one query.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.features.applying import applying
from benchmarks.features.declared import contracts, visible_declared
from benchmarks.features.folding import folding, sustained, visible
from benchmarks.features.reading import reading
from benchmarks.features.writing import offline_writes, online_writes
from benchmarks.homes import forget_settings, redis_settings, sqlite_settings
from benchmarks.report import Report, arguments
from features.feast.store import known_warnings_ignored
from leads.settings import Settings


def on_store(report: Report, name: str, settings: Settings, quick: bool) -> None:
    """Every part that depends on the online store."""
    for part, measure in (
        ("reading", reading),
        ("writing", online_writes),
        ("log → online, sustained", sustained),
        ("accepted → visible", visible),
        ("declared columns", contracts),
        ("declared: accepted → visible", visible_declared),
    ):
        report.part(f"{name}: {part}", lambda measure=measure: measure(settings, name, quick))  # type: ignore[misc]


def on_redis(report: Report, home: Path, quick: bool) -> None:
    """The same on Redis."""
    with redis_settings(home) as settings:
        on_store(report, "redis", settings, quick)


def main() -> int:
    """Run every part and report."""
    options = arguments(__doc__ or "")
    forget_settings()
    report = Report("Feature rows", options.json)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary, known_warnings_ignored():
        folder = Path(temporary)
        report.part("fold", lambda: folding(options.quick))
        settings = sqlite_settings(folder / "sqlite")
        report.part("offline writes", lambda: offline_writes(settings, options.quick))
        on_store(report, "sqlite", settings, options.quick)
        report.attempt("apply", lambda: report.part("apply", lambda: applying(folder / "apply", options.quick)))
        report.attempt("redis", lambda: on_redis(report, folder / "redis", options.quick))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
