"""Versions that give each text a scripted score, and rows to judge them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from features.contract import Column, FeatureContract
from features.evaluate.columns import ENCODER_VERSION, FEATURE_SERVICE
from leads.policies import HarmPolicy, TierPolicy
from models.calibrator import Calibrator
from models.scores import Scores
from models.thresholds import Thresholds
from models.version import Floats, ModelVersion
from training.data.dataset import Dataset
from training.data.labelled_rows import PLATFORM, LabelledRow
from training.lifecycle.outcomes import ChangeReason

HARM = "made"
CONTRACT = FeatureContract(FEATURE_SERVICE, (Column("item.notices"),), ENCODER_VERSION)
TRAINING_ROWS = 100
# Of the harm whose versions take features alone.
POLICY = HarmPolicy(
    title="Made",
    subject_types=("account",),
    severity=1,
    dsa_category="STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
    text=False,
    review=TierPolicy(precision=0.6),
)
ME = ChangeReason("me", "because")


@dataclass(frozen=True)
class ScriptedVersion(ModelVersion):
    """Scores by text; 0.5 for any other."""

    by_text: Mapping[str | None, float] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def score(self, features: Floats, texts: Sequence[str | None]) -> Scores:
        self.asked.append(len(texts))
        scores = np.array([self.by_text.get(text, 0.5) for text in texts], dtype=np.float64)
        return Scores(features, np.log(scores / (1 - scores)), scores)


def scripted(scores: np.ndarray, *, version: str = "2", **given: Any) -> ScriptedVersion:
    """A version that gives row i's text the i-th score. `given` overrides its other fields."""
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
        "by_text": {text(i): float(score) for i, score in enumerate(scores)},
    }
    return ScriptedVersion(**(fields | given))


def text(i: int) -> str:
    """The text of held-out row i. Every other one is longer than fifty characters."""
    return f"row {i}" + " and more words" * (4 * (i % 2))


def rows(labels: np.ndarray, sources: Sequence[str] = ()) -> Dataset:
    """A data set with these labels held out, after a training set of a hundred rows of both kinds."""
    before = tuple(LabelledRow(f"training {i}", i % 2 == 0, PLATFORM, i, 10_000_000 + i) for i in range(TRAINING_ROWS))
    named = sources or [PLATFORM] * len(labels)
    held = tuple(LabelledRow(text(i), bool(label), named[i], TRAINING_ROWS + i, i) for i, label in enumerate(labels))
    n = TRAINING_ROWS + len(labels)
    late = np.arange(n) >= TRAINING_ROWS
    features = np.zeros((n, 1), dtype=np.float32)
    return Dataset(HARM, CONTRACT, before + held, features, late, labels_until=0, removed=0, disputed=0, hash="")


def calibrated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated scores, and labels drawn with the scores as probabilities."""
    random = np.random.default_rng(seed)
    scores = np.clip(random.beta(0.5, 1.2, size=n), 0.001, 0.999)
    return scores, random.random(n) < scores
