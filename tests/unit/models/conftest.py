"""A small real version, fitted on grammar-made texts and random features, written once per process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xgboost

from features.evaluate.columns import contract_for
from models.calibrator import Calibrator
from models.text.ngrams import grams
from models.text.stage import Block, TextStage
from models.thresholds import Thresholds
from models.version import ModelVersion
from models.write import Parts, write_version

TEXTS = ("free money at www.example.com", "lovely song, thank you", "you are an idiot", "subscribe now please")


def make_text_stage(seed: int = 0) -> TextStage:
    """Random weights over the grams of a few texts: any weights will do where only the arithmetic is at stake."""
    rng = np.random.default_rng(seed)
    blocks = []
    for found in grams(TEXTS):
        hashes = np.unique(found.hashes)
        n = len(hashes)
        blocks.append(Block(hashes, rng.uniform(1, 5, n).astype(np.float32), rng.normal(size=n).astype(np.float32)))
    return TextStage(*blocks, intercept=-1.5)


def make_parts(*, text: bool = True, rounds: int = 8, seed: int = 0) -> Parts:
    """What a version is made of; trees are real, fitted on random rows with missing values."""
    contract = contract_for(text=text)
    names = (*contract.names, "text.score") if text else contract.names
    rng = np.random.default_rng(seed)
    rows = rng.exponential(size=(300, len(names))).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    labels = np.nan_to_num(rows[:, 0]) + rng.normal(size=300) > 1
    base = np.nan_to_num(rows[:, -1], nan=-2.0) if text else np.full(300, -2.0, dtype=np.float32)
    matrix = xgboost.DMatrix(rows, label=labels, base_margin=base, feature_names=list(names))
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 3, "seed": 1}, matrix, rounds)
    return Parts(
        harm="spam",
        contract=contract,
        booster=booster,
        text_stage=make_text_stage() if text else None,
        prior_log_odds=-2.0,
        calibrator=Calibrator(margins=(-1.0, 0.0, 1.0), log_odds=(-0.9, 0.1, 0.9)),
        thresholds=Thresholds(review=0.3, auto=0.9, why={}),
        reference=rows,
        reference_labels=labels.tolist(),
        metrics=b'{"ap":0.5}',
        card="# A version\n",
    )


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """A version that judges text. Nobody may change its folder."""
    return write_version(tmp_path_factory.mktemp("version") / "spam", make_parts())


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., ModelVersion]:
    """Writes a version into this test's own folder."""
    return lambda **options: write_version(tmp_path / "version", make_parts(**options))
