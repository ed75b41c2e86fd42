"""Fits a model on rows: text stage, booster on top of its log-odds, and calibrator."""

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
from models.thresholds import Thresholds
from models.version import ModelVersion, unregistered
from training.config import DEFAULTS, TrainingConfig
from training.fit.calibrate import fit_calibrator
from training.fit.counts import TextCounts
from training.fit.text import fit_text
from training.fit.trees import TreeRows, boost, params_of

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

MANY_ROWS = 50_000


@dataclass(frozen=True)
class Fit:
    """A fitted model, and its out-of-fold predictions on the rows it was fitted on.

    Args:
        prior_log_odds: log-odds of the share of violating rows.
        input_names: the booster's columns, m.
        vector: (n, m) the booster's inputs. `text.score` in it is out-of-fold: from a stage that didn't see the row's
            fold.
        margin: (n,) out-of-fold margins.
        losses: mean log loss on held-out folds after each tree, also of trees that were left out.
    """

    booster: xgboost.Booster
    text_stage: TextStage | None
    calibrator: Calibrator
    prior_log_odds: float
    input_names: tuple[str, ...]
    vector: Floats
    margin: Doubles
    losses: Doubles

    @property
    def rounds(self) -> int:
        """Number of trees."""
        return int(self.booster.num_boosted_rounds())

    @property
    def scores(self) -> Doubles:
        """(n,) calibrated out-of-fold scores."""
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

    The booster starts from the text's log-odds and corrects them. The number of trees is the one with the lowest
    held-out loss, and none if the gain is within chance, so with few labels the model stays linear.

    Args:
        features: (n, k) float32 by the contract.
        labels: (n,) True for violating rows; both kinds in every fold's complement.
        folds: (n,) from `split.folds`.
        counts: n-gram counts of the data set's texts; None for a harm whose policy doesn't use text.
        rows: (n,) positions of the rows' texts in `counts`.
        weights: (n,) weight of each label; None: all equal.
        served: (n,) True for rows that represent what will be scored. Only they calibrate, since the share of
            violations in a corpus differs from the platform's. None: all.
        threads: for the booster, if there are many rows.
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
    tree_weights = weights * np.where(labels, config.positive_weight, 1.0)
    tree_rows = TreeRows(vector, labels, base.astype(np.float32), tree_weights.astype(np.float32), folds)
    # With few rows synchronising threads costs more than they save, and far more on a busy machine.
    params = params_of(config, names, threads if len(labels) >= MANY_ROWS else 1, seed)
    booster, margin, losses = boost(tree_rows, params, config)
    served = np.ones(len(labels), dtype=np.bool_) if served is None else served
    calibrator = fit_calibrator(margin[served], labels[served], folds[served], config.methods)
    booster.feature_names = list(names)
    return Fit(booster, stage, calibrator, prior, tuple(names), vector, margin, losses)


def draft(harm: str, contract: FeatureContract, fitted: Fit, thresholds: Thresholds) -> ModelVersion:
    """The fit as the version it will become, so it can be measured before it is written."""
    return unregistered(
        harm,
        contract,
        fitted.booster,
        fitted.calibrator,
        thresholds,
        starts_from="text" if fitted.text_stage else "prior",
        text_stage=fitted.text_stage,
        prior_log_odds=fitted.prior_log_odds,
    )


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
    """(n,) out-of-fold log-odds, NaN for rows without usable text as in serving; and the stage fitted on all rows."""
    has_text = counts.present[rows]
    chosen = (rows[has_text], labels[has_text], folds[has_text])
    fitted = fit_text(counts, *chosen, config=config.text, weights=weights[has_text], seed=seed)
    log_odds = np.full(len(rows), np.nan, dtype=np.float32)
    log_odds[has_text] = fitted.out_of_fold
    return log_odds, fitted.stage
