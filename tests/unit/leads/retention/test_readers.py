"""Who reads what is deleted: checks see the same in their window as before, and training reads none of it."""

from __future__ import annotations

import ast
import os
import threading

from leads import clock
from leads.predictions.compaction import Compactor
from leads.predictions.log import read_predictions
from leads.retention import home
from leads.settings import Settings
from monitoring.logged_window import outside, read_window
from tests.support.paths import REPOSITORY
from tests.support.prediction_world import batch, ids, write

NOW = clock.now()
MONTH = NOW - 30 * clock.DAY
PACKAGES = ("leads", "features", "models", "training", "serving", "monitoring", "simulation", "cli")


def log_of(settings: Settings, *days_ago: int) -> None:
    for days in days_ago:
        at = NOW - days * clock.DAY
        write(settings.predictions_dir, *(batch(1_000 * days + i, at=at + i) for i in range(20)))
    for path in settings.predictions_dir.rglob("*.parquet"):
        at_s = clock.from_text(f"{path.parent.name.removeprefix('day=')}T23:59:59Z") / clock.SECOND
        os.utime(path, (at_s, at_s))


def test_the_window_of_skew_is_the_same_as_before(settings: Settings) -> None:
    log_of(settings, 200, 100, 40, 3, 2, 1)

    def seen(length: int) -> tuple[object, ...]:
        window = read_window(settings.predictions_dir, "spam", length=length)
        rows = [table.to_pylist() for table in window.scan.slices(["prediction_id", "score", "at"])]
        return rows, window.since, window.until

    before = {days: seen(days * clock.DAY) for days in (1, 3, 29)}
    older = outside(settings.predictions_dir, "spam", read_window(settings.predictions_dir, "spam")).older
    assert home.prune_predictions(settings, MONTH, False).items == 3
    assert {days: seen(days * clock.DAY) for days in (1, 3, 29)} == before
    after = outside(settings.predictions_dir, "spam", read_window(settings.predictions_dir, "spam")).older
    assert (older, after) == (100, 40)


def test_what_is_written_and_merged_meanwhile_is_complete(settings: Settings) -> None:
    """New predictions about old days are written and merged while the old ones of these days are deleted."""
    log_of(settings, 40, 41, 42)
    stopped, compactor = threading.Event(), Compactor(settings.predictions_dir, settled_s=0.0)

    def merge() -> None:
        while not stopped.is_set():
            compactor.compact()

    def delete() -> None:
        while not stopped.is_set():
            home.prune_predictions(settings, MONTH, False)

    threads = [threading.Thread(target=work) for work in (merge, delete)]
    for thread in threads:
        thread.start()
    for i in range(60):
        write(settings.predictions_dir, batch(i, at=NOW - (40 + i % 3) * clock.DAY))
    stopped.set()
    for thread in threads:
        thread.join()
    assert set(ids(settings.predictions_dir)) >= {f"p{i}" for i in range(60)}
    assert read_predictions(settings.predictions_dir, "spam").num_rows >= 60


def test_training_does_not_read_the_prediction_log() -> None:
    """When a subject had been scored is stored with its review and its lead, which are never deleted."""
    readers = set()
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if any(name.startswith("leads.predictions") for name in names):
                    readers.add(path.relative_to(REPOSITORY).parts[0])
    assert readers == {"leads", "monitoring", "serving", "cli"}
