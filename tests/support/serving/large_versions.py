"""Versions as large as those of a platform: half a million n-grams, 300 trees. Small ones load in no time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import xgboost

from models.calibrator import Calibrator
from models.text.ngrams import grams
from models.text.stage import Block, TextStage
from models.write import Parts
from tests.support.serving.world import BENIGN_TEXT, SPAM_TEXT, make_parts

_WORDS, _CHARS = 200_000, 300_000
_ROWS, _TREES, _DEPTH = 2_000, 300, 6


def large_parts(harm: str, shift: float = 0.0) -> Parts:
    """The parts of a large version. Those with another `shift` have other scores."""
    parts = make_parts(harm)
    return replace(
        parts,
        booster=_booster(parts.input_names),
        text_stage=_text_stage() if parts.text_stage else None,
        calibrator=Calibrator(margins=(-8.0, 8.0), log_odds=(-8.0 + shift, 8.0 + shift)),
    )


@cache
def _text_stage() -> TextStage:
    rng = np.random.default_rng(5)
    blocks = []
    for found, size in zip(grams([SPAM_TEXT, BENIGN_TEXT]), (_WORDS, _CHARS), strict=True):
        hashes = np.union1d(found.hashes, rng.integers(0, 2**64, size, np.uint64))
        n = len(hashes)
        blocks.append(Block(hashes, rng.uniform(1, 9, n).astype(np.float32), rng.normal(size=n).astype(np.float32)))
    return TextStage(*blocks, intercept=-2.0)


@cache
def _booster(names: tuple[str, ...]) -> xgboost.Booster:
    rng = np.random.default_rng(6)
    rows = rng.exponential(size=(_ROWS, len(names))).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    labels = np.nan_to_num(rows[:, :4]).sum(axis=1) + rng.normal(size=_ROWS) > 4
    matrix = xgboost.DMatrix(rows, label=labels, base_margin=np.full(_ROWS, -2.0), feature_names=list(names))
    options = {"objective": "binary:logistic", "nthread": 1, "max_depth": _DEPTH, "max_bin": 64, "seed": 1}
    return xgboost.train(options, matrix, _TREES)
