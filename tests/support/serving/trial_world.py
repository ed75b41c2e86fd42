"""Versions of one harm, and trial jobs for them as scoring submits them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from features.contract import FeatureContract
from models.scores import Scores
from models.version import ModelVersion
from models.write import write_version
from serving.trials.jobs import CanaryJob, ChallengerJob, Places, ShadowRows
from tests.support.serving.world import make_parts

HARM = "stream_manipulation"


def make_version(folder: Path, number: str, *, seed: int = 0) -> ModelVersion:
    return dataclasses.replace(write_version(folder, make_parts(HARM, seed=seed)), version=number)


class Behaves(ModelVersion):
    """A version that does something before scoring: takes time, waits, fails."""

    def score(self, features: np.ndarray, texts: Sequence[str | None]) -> Scores:
        self.does()  # type: ignore[attr-defined]
        return super().score(features, texts)


def behaving(version: ModelVersion, does: Callable[[], object]) -> ModelVersion:
    fields = {field.name: getattr(version, field.name) for field in dataclasses.fields(version)}
    made = Behaves(**fields)
    object.__setattr__(made, "does", does)
    return made


def draw(version: ModelVersion, n: int, seed: int = 0) -> np.ndarray:
    """(n, k) features."""
    width = len(version.contract.columns)
    return np.random.default_rng(seed).exponential(size=(n, width)).astype(np.float32)


def rows_of(features: np.ndarray) -> Callable[[FeatureContract], ShadowRows]:
    n = len(features)
    return lambda contract: ShadowRows(features, [None] * n, np.arange(n))


def shadowed(version: ModelVersion, n: int = 1, done: Callable[[Scores, Places], None] | None = None) -> ChallengerJob:
    return ChallengerJob(version, n, rows_of(draw(version, n)), done or (lambda scores, places: None))


def paired(canary: ModelVersion, champion: ModelVersion, n: int = 1, *, first: int = 0) -> CanaryJob:
    features = draw(champion, n, seed=first)
    scores = ModelVersion.score(canary, features, [None] * n).score
    subjects = [f"account:a{i}" for i in range(first, first + n)]
    return CanaryJob(canary, champion, scores, subjects, rows_of(features), took_s=0.001)
