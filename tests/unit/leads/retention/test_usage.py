"""How much of a home each kind of data takes up."""

from __future__ import annotations

import os
import time
from pathlib import Path

from leads import clock
from leads.retention.usage import home_usage, usage
from leads.settings import Settings

NOW = time.time()


def put(path: Path, days_ago: float, blocks: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 4_096 * blocks)
    os.utime(path, (NOW - days_ago * 86_400,) * 2)


def test_files_are_counted_by_kind(settings: Settings) -> None:
    put(settings.predictions_dir / "harm=spam" / "day=2026-01-01" / "a.parquet", 100)
    put(settings.predictions_dir / "harm=spam" / "day=2026-04-01" / "b.parquet", 3, blocks=14)
    put(settings.reports_dir / "drift" / "spam" / "1.html", 2)
    put(settings.root / "leads.db", 0)
    put(settings.root / "mlflow.db", 0)
    put(settings.published_dir / "spam" / ".5.77.tmp" / "manifest.json", 0)
    found = home_usage(settings, now=NOW)
    predictions = found["predictions"]
    assert (predictions.items, predictions.size) == (2, 15 * 4_096)
    assert predictions.oldest is not None
    assert abs(predictions.oldest - (NOW - 100 * 86_400) * clock.SECOND) < clock.SECOND
    assert predictions.per_day == 14 * 4_096 / 7
    assert found["reports"].per_day == 4_096 / 2
    assert {kind: one.items for kind, one in found.items()} == {
        "predictions": 2, "reports": 1, "database": 1, "versions": 1, "temporary": 1,
    }  # fmt: skip


def test_a_home_that_does_not_exist_is_empty(settings: Settings) -> None:
    assert usage(settings, None) == []
