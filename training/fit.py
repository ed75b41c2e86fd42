"""Fits a model on rows: text stage, booster on top of its log-odds, calibrator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from features.contract import FeatureContract
from models.calibrator import Calibrator
from models.manifest import TEXT_SCORE
from models.text_stage import TextStage
from training.calibrate import fit_calibrator, log_loss
from training.config import DEFAULTS, TrainingConfig
from training.text_fit import TextCounts, fit_text

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

MANY_ROWS = 50_000
# Rows that are scored in one piece, to bound the memory.
_AT_ONCE = 100_000


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
    rows_ = _Rows(vector, labels, base.astype(np.float32), trees.astype(np.float32), folds)
    # Threads that wait for each other cost more than they save on few rows, and far more on a busy machine.
    params = _params(config, names, threads if len(labels) >= MANY_ROWS else 1, seed)
    booster, margin = _boost(rows_, params, config)
    telling = np.ones(len(labels), dtype=np.bool_) if served is None else served
    calibrator = fit_calibrator(margin[telling], labels[telling], folds[telling], config.methods)
    booster.feature_names = list(names)
    return Fit(booster, stage, calibrator, prior, tuple(names), vector, margin)


def never_lower(config: TrainingConfig, names: Sequence[str]) -> tuple[bool, ...]:
    """Which columns must not lower a score when they grow."""
    return tuple(any(fnmatchcase(name, pattern) for pattern in config.never_lower) for name in names)


def _params(config: TrainingConfig, names: Sequence[str], threads: int, seed: int) -> dict[str, Any]:
    trees = config.trees.model_dump(exclude={"max_rounds", "patience"})
    return trees | {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "base_score": 0.5,
        "tree_method": "hist",
        "nthread": threads,
        "seed": seed,
        "monotone_constraints": tuple(map(int, never_lower(config, names))),
    }


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


@dataclass(frozen=True)
class _Rows:
    vector: Floats
    labels: Bools
    base: Floats
    weights: Floats
    folds: Ints

    def matrix(self, chosen: Bools | slice, max_bin: int, ref: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
        """Binned, so that a million rows take a byte per value beside themselves."""
        return xgboost.QuantileDMatrix(
            self.vector[chosen],
            label=self.labels[chosen],
            base_margin=self.base[chosen],
            weight=self.weights[chosen],
            max_bin=max_bin,
            ref=ref,
        )


def _boost(rows: _Rows, params: dict[str, Any], config: TrainingConfig) -> tuple[xgboost.Booster, Doubles]:
    """The booster on all rows with as many trees as held-out folds ask for, and the rows' out-of-fold margins."""
    trials = [(rows.folds == fold, *_trial(rows, rows.folds == fold, params, config)) for fold in np.unique(rows.folds)]
    rounds = min(len(losses) for _, _, losses in trials)
    sizes = np.array([rows.weights[inside].sum() for inside, _, _ in trials])
    curve = sizes @ np.array([losses[:rounds] for _, _, losses in trials]) / sizes.sum()
    best = int(curve.argmin()) + 1
    margin = np.empty(len(rows.labels))
    for inside, booster, _ in trials:
        margin[inside] = _margins(booster, rows, np.flatnonzero(inside), best)
    gains = _losses(rows.base.astype(np.float64), rows) - _losses(margin, rows)
    if gains.mean() <= gains.std() / np.sqrt(len(gains)):
        best, margin = 0, rows.base.astype(np.float64)
    return xgboost.train(params, rows.matrix(slice(None), config.trees.max_bin), best), margin


def _trial(
    rows: _Rows, inside: Bools, params: dict[str, Any], config: TrainingConfig
) -> tuple[xgboost.Booster, list[float]]:
    """A booster that doesn't see the rows `inside`, and its loss on them after each tree."""
    history: dict[str, dict[str, list[float]]] = {}
    learned = rows.matrix(~inside, config.trees.max_bin)
    booster = xgboost.train(
        params,
        learned,
        config.trees.max_rounds,
        evals=[(rows.matrix(inside, config.trees.max_bin, learned), "held_out")],
        early_stopping_rounds=config.trees.patience,
        evals_result=history,
        verbose_eval=False,
    )
    return booster, history["held_out"]["logloss"]


def _margins(booster: xgboost.Booster, rows: _Rows, chosen: Ints, rounds: int) -> Doubles:
    """(m,) margins after `rounds` trees."""
    parts = [
        booster.inplace_predict(
            rows.vector[part], predict_type="margin", base_margin=rows.base[part], iteration_range=(0, rounds)
        )
        for part in (chosen[start : start + _AT_ONCE] for start in range(0, len(chosen), _AT_ONCE))
    ]
    return np.concatenate(parts).astype(np.float64)


def _losses(margin: Doubles, rows: _Rows) -> Doubles:
    """(n,) after calibration where there is a text stage: trees that only bend its margin, as a calibrator does, gain
    nothing. Where all rows start from the same prior there is nothing to bend, and the plain losses count."""
    if np.ptp(rows.base):
        straight = fit_calibrator(margin, rows.labels, rows.folds, ("platt", "bent"))
        return log_loss(straight.score(margin), rows.labels)
    return np.asarray(np.logaddexp(0, margin) - margin * rows.labels)
