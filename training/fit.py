"""Fits a model on rows: text stage, booster on top of its log-odds, calibrator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from features.contract import FeatureContract
from models.calibrator import Calibrator
from models.manifest import TEXT_SCORE
from models.text_stage import TextStage
from training.calibrate import fit_calibrator, log_loss
from training.text_fit import TextCounts, fit_text

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

# More of these never makes a subject look more innocent; reviewers expect that and it can't be learned away.
NEVER_LOWER = (
    "item.reports_1h",
    "item.reports_24h",
    "item.reports_7d",
    "item.reports_90d",
    "item.reporters_7d",
    "item.reliable_reports_7d",
    "item.notices",
    "item.hash_matches",
    "item.classifier_score",
    "account.reports_24h",
    "account.reports_7d",
    "account.reports_90d",
    "account.reporters_7d",
    "account.notices_90d",
    "account.strikes",
    "account.strikes_90d",
    "bucket.reports_7d",
    "bucket.violations_90d",
)
MAX_ROUNDS = 300
PATIENCE = 25
MANY_ROWS = 50_000
# Part of a training's fingerprint: when one of these changes, the same rows give another model.
BOOSTER = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "base_score": 0.5,
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.1,
    "min_child_weight": 5.0,
    "lambda": 5.0,
    "max_bin": 64,
}


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
        served: (n,) rows like those that will be scored; only they calibrate, since a corpus holds another share of
            violations than the platform. None: all.
    """
    prior = float(np.log(labels.mean() / (1 - labels.mean())))
    names: Sequence[str] = contract.names
    vector, stage = features, None
    if counts is not None:
        log_odds, stage = _text(counts, rows, labels, folds, seed=seed)
        vector = np.column_stack((features, log_odds))
        names = (*names, TEXT_SCORE)
    base = np.where(np.isnan(vector[:, -1]), prior, vector[:, -1]) if stage else np.full(len(labels), prior)
    params = BOOSTER | {
        # Threads that wait for each other cost more than they save on few rows, and far more on a busy machine.
        "nthread": threads if len(labels) >= MANY_ROWS else 1,
        "seed": seed,
        "monotone_constraints": tuple(int(name in NEVER_LOWER) for name in names),
    }
    booster, margin = _boost(_Rows(vector, labels, base.astype(np.float32), folds, tuple(names)), params)
    telling = np.ones(len(labels), dtype=np.bool_) if served is None else served
    calibrator = fit_calibrator(margin[telling], labels[telling], folds[telling])
    return Fit(booster, stage, calibrator, prior, tuple(names), vector, margin)


def _text(counts: TextCounts, rows: Ints, labels: Bools, folds: Ints, *, seed: int) -> tuple[Floats, TextStage]:
    """Out-of-fold log-odds, NaN for rows in whose text nothing is found, as serving gives it."""
    has_text = counts.present[rows]
    fitted = fit_text(counts, rows[has_text], labels[has_text], folds[has_text], seed=seed)
    log_odds = np.full(len(rows), np.nan, dtype=np.float32)
    log_odds[has_text] = fitted.out_of_fold
    return log_odds, fitted.stage


@dataclass(frozen=True)
class _Rows:
    vector: Floats
    labels: Bools
    base: Floats
    folds: Ints
    names: tuple[str, ...]

    def matrix(self, chosen: Bools) -> xgboost.DMatrix:
        return xgboost.DMatrix(
            self.vector[chosen],
            label=self.labels[chosen],
            base_margin=self.base[chosen],
            feature_names=list(self.names),
        )


def _boost(rows: _Rows, params: dict[str, Any]) -> tuple[xgboost.Booster, Doubles]:
    """The booster on all rows with as many trees as held-out folds ask for, and the rows' out-of-fold margins."""
    trials = [(rows.folds == fold, *_trial(rows, rows.folds == fold, params)) for fold in np.unique(rows.folds)]
    rounds = min(len(losses) for _, _, losses in trials)
    sizes = np.array([inside.sum() for inside, _, _ in trials])
    curve = sizes @ np.array([losses[:rounds] for _, _, losses in trials]) / sizes.sum()
    best = int(curve.argmin()) + 1
    margin = np.empty(len(rows.labels))
    for inside, booster, _ in trials:
        margin[inside] = booster.predict(rows.matrix(inside), output_margin=True, iteration_range=(0, best))
    gains = _losses(rows.base.astype(np.float64), rows) - _losses(margin, rows)
    if gains.mean() <= gains.std() / np.sqrt(len(gains)):
        best, margin = 0, rows.base.astype(np.float64)
    everything = np.ones(len(rows.labels), dtype=np.bool_)
    return xgboost.train(params, rows.matrix(everything), best), margin


def _trial(rows: _Rows, inside: Bools, params: dict[str, Any]) -> tuple[xgboost.Booster, list[float]]:
    """A booster that doesn't see the rows `inside`, and its loss on them after each tree."""
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        params,
        rows.matrix(~inside),
        MAX_ROUNDS,
        evals=[(rows.matrix(inside), "held_out")],
        early_stopping_rounds=PATIENCE,
        evals_result=history,
        verbose_eval=False,
    )
    return booster, history["held_out"]["logloss"]


def _losses(margin: Doubles, rows: _Rows) -> Doubles:
    """(n,) after calibration where there is a text stage: trees that only bend its margin, as a calibrator does, gain
    nothing. Where all rows start from the same prior there is nothing to bend, and the plain losses count."""
    if np.ptp(rows.base):
        return log_loss(fit_calibrator(margin, rows.labels, rows.folds).score(margin), rows.labels)
    return np.asarray(np.logaddexp(0, margin) - margin * rows.labels)
