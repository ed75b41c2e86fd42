"""Predictions to log, and what is then on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from leads import clock
from leads.events import Subject
from leads.predictions.log import PredictionBatch, PredictionLog, read_predictions

AT = 1_780_012_800_000_000 // clock.DAY * clock.DAY


def batch(*numbers: int, **given: object) -> PredictionBatch:
    """What one call says of `c<number>` for each number; `scores` and other columns may be given."""
    n = len(numbers)
    plain = {
        "harm": "spam",
        "model_version": "1",
        "contract_hash": "c0ffee",
        "source": "api",
        "row_roles": "item,account",
        "at": AT,
        "scored_at": AT,
        "took_us": 1_234,
        "prediction_ids": [f"p{number}" for number in numbers],
        "subjects": [Subject("comment", f"c{number}") for number in numbers],
        "vectors": np.array([(number, np.nan, -1.5) for number in numbers], np.float32).reshape(n, 3),
        "scores": np.full(n, 0.5),
        "tiers": ["review"] * n,
        "row_at": np.tile(np.array([AT - 1, 0]), (n, 1)),
        "links": [("a1", None)] * n,
        "text_hashes": [2**64 - 1] * n,
    }
    return PredictionBatch(**{**plain, **given})  # type: ignore[arg-type]


def write(folder: Path, *batches: PredictionBatch, owner: str = "api") -> None:
    """As a process does that then ends: a segment per harm and day."""
    log = PredictionLog(folder, owner=owner)
    for one in batches:
        log.append(one)
    log.close()


def ids(folder: Path, harm: str = "spam", **window: int) -> list[str]:
    return list(read_predictions(folder, harm, **window)["prediction_id"].to_pylist())


def segments(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))
