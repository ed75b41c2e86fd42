"""Versions that give each text the score they are told, and rows to judge them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from features.contract import Column, FeatureContract
from features.evaluate.columns import ENCODER_VERSION, FEATURE_SERVICE
from models.calibrator import Calibrator
from models.thresholds import Thresholds
from models.version import Floats, ModelVersion, Scores
from training.data.dataset import Dataset
from training.data.labelled_rows import PLATFORM, Row

HARM = "made"
CONTRACT = FeatureContract(FEATURE_SERVICE, (Column("item.notices"),), ENCODER_VERSION)
LEARNED = 100


@dataclass(frozen=True)
class Told(ModelVersion):
    """Scores by text; 0.5 for any other."""

    told: Mapping[str | None, float] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def score(self, features: Floats, texts: Sequence[str | None]) -> Scores:
        self.asked.append(len(texts))
        scores = np.array([self.told.get(text, 0.5) for text in texts], dtype=np.float64)
        return Scores(features, np.log(scores / (1 - scores)), scores)


def told(scores: np.ndarray, *, version: str = "2", **given: Any) -> Told:
    """A version that gives row i's text the score i; `given` are more of its fields."""
    fields: dict[str, Any] = {
        "harm": HARM,
        "version": version,
        "contract": CONTRACT,
        "uses_text": True,
        "starts_from": "text",
        "input_names": (*CONTRACT.names, "text.score"),
        "thresholds": Thresholds(None, None, {}),
        "calibrator": Calibrator((0.0, 1.0), (0.0, 1.0)),
        "prior_log_odds": 0.0,
        "booster": xgboost.Booster(),
        "text_stage": None,
        "folder": Path(),
        "told": {text(i): float(score) for i, score in enumerate(scores)},
    }
    return Told(**(fields | given))


def text(i: int) -> str:
    """Of the held-out row i, every other one longer than fifty characters."""
    return f"row {i}" + " and more words" * (4 * (i % 2))


def rows(labels: np.ndarray, sources: Sequence[str] = ()) -> Dataset:
    """Held-out rows with these labels, after a hundred of both kinds that were learned from."""
    before = tuple(Row(f"learned {i}", i % 2 == 0, PLATFORM, i, 10_000_000 + i) for i in range(LEARNED))
    named = sources or [PLATFORM] * len(labels)
    held = tuple(Row(text(i), bool(label), named[i], LEARNED + i, i) for i, label in enumerate(labels))
    n = LEARNED + len(labels)
    late = np.arange(n) >= LEARNED
    features = np.zeros((n, 1), dtype=np.float32)
    return Dataset(HARM, CONTRACT, before + held, features, late, labels_until=0, removed=0, disputed=0, hash="")


def kept_promises(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels that are true as often as the scores say."""
    random = np.random.default_rng(seed)
    scores = np.clip(random.beta(0.5, 1.2, size=n), 0.001, 0.999)
    return scores, random.random(n) < scores
