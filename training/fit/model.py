"""Fits a model on rows: text stage, booster on top of its log-odds, calibrator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xgboost

from features.contract import FeatureContract
from models.calibrator import Calibrator
from models.manifest import TEXT_SCORE
from models.text.stage import TextStage
from training.config import DEFAULTS, TrainingConfig
from training.fit.calibrate import fit_calibrator
from training.fit.text import TextCounts, fit_text
from training.fit.trees import TreeRows, boost, params_of

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

MANY_ROWS = 50_000


@dataclass(frozen=True)
class Fit:
    """A fitted model. `vector` (n, m) are its training inputs and `margin` (n,) what it gives them, both out-of-fold:
    by parts that didn't see the row's fold."""

    booster: xgboost.Booster
    text_stage: TextStage | None
    calibrator: Calibrator
    prior_log_odds: float
    input_names: tuple[str, ...]
    vector: Floats
    margin: Doubles

    @property
    def rounds(self) -> int:
        return int(self.booster.num_boosted_rounds())

    @property
    def scores(self) -> Doubles:
        """(n,) calibrated, out-of-fold."""
        return self.calibrator.score(self.margin)


def fit(
    contract: FeatureContract,
    features: Floats,
    labels: Bools,
    folds: Ints,
    *,
    counts: TextCounts | None,
    rows: Ints,
    config: TrainingConfig = DEFAULTS,
    weights: Doubles | None = None,
    served: Bools | None = None,
    threads: int,
    seed: int,
) -> Fit:
    """Fit on n rows.

    The booster starts from the text's log-odds and can only correct them: as many trees are kept as held-out folds
    profit from, and none when that gain is within chance. With few labels the model thus stays the linear one.

    Args:
        features: (n, k) float32.
        labels: (n,) with both kinds in every fold's complement.
        folds: (n,) from `split.folds`.
        counts: of the data set's texts; None for a harm that isn't judged by text.
        rows: (n,) where each row's text is in `counts`.
        weights: (n,) how much each label counts in fitting; None: all the same.
        served: (n,) rows like those that will be scored; only they calibrate, since a corpus holds another share of
            violations than the platform. None: all.
    """
    prior = float(np.log(labels.mean() / (1 - labels.mean())))
    weights = np.ones(len(labels)) if weights is None else weights
    names: Sequence[str] = contract.names
    vector, stage = features, None
    if counts is not None:
        log_odds, stage = _text(counts, rows, labels, folds, weights, config, seed=seed)
        vector = np.column_stack((features, log_odds))
        names = (*names, TEXT_SCORE)
    base = np.where(np.isnan(vector[:, -1]), prior, vector[:, -1]) if stage else np.full(len(labels), prior)
    trees = weights * np.where(labels, config.positive_weight, 1.0)
    trees_ = TreeRows(vector, labels, base.astype(np.float32), trees.astype(np.float32), folds)
    # Threads that wait for each other cost more than they save on few rows, and far more on a busy machine.
    params = params_of(config, names, threads if len(labels) >= MANY_ROWS else 1, seed)
    booster, margin = boost(trees_, params, config)
    telling = np.ones(len(labels), dtype=np.bool_) if served is None else served
    calibrator = fit_calibrator(margin[telling], labels[telling], folds[telling], config.methods)
    booster.feature_names = list(names)
    return Fit(booster, stage, calibrator, prior, tuple(names), vector, margin)


def _text(
    counts: TextCounts,
    rows: Ints,
    labels: Bools,
    folds: Ints,
    weights: Doubles,
    config: TrainingConfig,
    *,
    seed: int,
) -> tuple[Floats, TextStage]:
    """Out-of-fold log-odds, NaN for rows in whose text nothing is found, as serving gives it."""
    has_text = counts.present[rows]
    chosen = (rows[has_text], labels[has_text], folds[has_text])
    fitted = fit_text(counts, *chosen, config=config.text, weights=weights[has_text], seed=seed)
    log_odds = np.full(len(rows), np.nan, dtype=np.float32)
    log_odds[has_text] = fitted.out_of_fold
    return log_odds, fitted.stage
