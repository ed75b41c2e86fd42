from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features.columns import contract_for, evaluate
from features.rows import missing
from models.calibrator import Calibrator
from models.thresholds import Thresholds
from models.version import ModelVersion
from training.dataset import Dataset, Row
from training.fit import fit
from training.make import draft
from training.promote import compare
from training.text_fit import count_texts

CONTRACT = contract_for(text=True)


@pytest.fixture(scope="module")
def world(made: Any) -> tuple[Dataset, ModelVersion]:
    """600 texts of which the last 200 are held out, and a version that learned from the others."""
    n = len(made.texts)
    features = evaluate(CONTRACT, missing(n), np.zeros(n, dtype=np.int64), made.texts).matrix
    rows = tuple(
        Row(text, bool(label), "platform", i, i)
        for i, (text, label) in enumerate(zip(made.texts, made.labels, strict=True))
    )
    data = Dataset("spam", CONTRACT, rows, features, np.arange(n) >= 400, 0, "")
    learn = np.arange(400)
    fitted = fit(
        CONTRACT,
        features[learn],
        made.labels[learn],
        made.folds[learn],
        counts=count_texts(made.texts),
        rows=learn,
        threads=1,
        seed=1,
    )
    return data, replace(draft("spam", CONTRACT, fitted, Thresholds(None, None, {})), version="1")


def blind(version: ModelVersion) -> ModelVersion:
    """The same, but no text tells it anything."""
    assert version.text_stage is not None
    stage = version.text_stage
    nothing = [block._replace(weights=np.zeros_like(block.weights)) for block in (stage.words, stage.chars)]
    return replace(version, text_stage=type(stage)(nothing[0], nothing[1], stage.intercept))


def test_an_equal_version_is_promoted(world: tuple[Dataset, ModelVersion]) -> None:
    data, version = world
    settled = compare(version, version, data, seed=1)
    assert settled.alias == "champion"
    assert "of version 1, 200 held-out rows" in settled.why


def test_a_version_that_ranks_worse_is_not(world: tuple[Dataset, ModelVersion]) -> None:
    data, version = world
    settled = compare(version, blind(version), data, seed=1)
    assert settled.alias == "challenger"
    assert "ranks worse" in settled.why
    assert compare(blind(version), version, data, seed=1).alias == "champion"


def test_a_version_whose_scores_claim_too_much_is_not(world: tuple[Dataset, ModelVersion]) -> None:
    data, version = world
    bold = replace(version, calibrator=Calibrator(margins=(0.0, 1.0), log_odds=(3.0, 4.0)))
    settled = compare(version, bold, data, seed=1)
    assert settled.alias == "challenger"
    assert "keep their word less" in settled.why


def test_a_champion_that_can_not_be_served_any_more_gives_way(world: tuple[Dataset, ModelVersion]) -> None:
    data, version = world
    other = replace(version, contract=contract_for(text=False))
    assert compare(other, version, data, seed=1).alias == "champion"
