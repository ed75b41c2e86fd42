"""Fits the booster, with the number of trees that has the lowest held-out loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xgboost

from training.config import TrainingConfig
from training.fit.calibrate import fit_calibrator, log_loss

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

# Rows scored at once, to bound memory.
_BATCH = 100_000


def never_lower(config: TrainingConfig, names: Sequence[str]) -> tuple[bool, ...]:
    """For each column, whether higher values must never lower a score."""
    return tuple(any(fnmatchcase(name, pattern) for pattern in config.never_lower) for name in names)


def params_of(config: TrainingConfig, names: Sequence[str], threads: int, seed: int) -> dict[str, Any]:
    """XGBoost's parameters for these columns."""
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


@dataclass(frozen=True)
class TreeRows:
    """Rows for the booster: inputs (n, m), and labels, starting margins, weights and folds, each (n,)."""

    vector: Floats
    labels: Bools
    base: Floats
    weights: Floats
    folds: Ints

    def matrix(self, chosen: Bools | slice, max_bin: int, ref: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
        """Some of the rows, binned: a copy that takes one byte per value."""
        return xgboost.QuantileDMatrix(
            self.vector[chosen],
            label=self.labels[chosen],
            base_margin=self.base[chosen],
            weight=self.weights[chosen],
            max_bin=max_bin,
            ref=ref,
        )


class Boosted(NamedTuple):
    """A booster fitted on all rows.

    Args:
        margin: (n,) out-of-fold margins.
        losses: mean log loss on held-out folds after each tree.
    """

    booster: xgboost.Booster
    margin: Doubles
    losses: Doubles


def boost(rows: TreeRows, params: dict[str, Any], config: TrainingConfig) -> Boosted:
    """Fit a booster with as many trees as do best on held-out folds."""
    masks = [rows.folds == fold for fold in np.unique(rows.folds)]
    fits = [(inside, *fit_without(rows, inside, params, config)) for inside in masks]
    rounds = min(len(losses) for _, _, losses in fits)
    sizes = np.array([rows.weights[inside].sum() for inside, _, _ in fits])
    curve = sizes @ np.array([losses[:rounds] for _, _, losses in fits]) / sizes.sum()
    best = int(curve.argmin()) + 1
    margin = np.empty(len(rows.labels))
    for inside, booster, _ in fits:
        margin[inside] = _margins(booster, rows, np.flatnonzero(inside), best)
    gains = losses(rows.base.astype(np.float64), rows) - losses(margin, rows)
    if gains.mean() <= gains.std() / np.sqrt(len(gains)):
        best, margin = 0, rows.base.astype(np.float64)
    return Boosted(xgboost.train(params, rows.matrix(slice(None), config.trees.max_bin), best), margin, curve)


def fit_without(
    rows: TreeRows, inside: Bools, params: dict[str, Any], config: TrainingConfig
) -> tuple[xgboost.Booster, list[float]]:
    """A booster fitted without the rows `inside` (n,), and its loss on them after each tree."""
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


def _margins(booster: xgboost.Booster, rows: TreeRows, chosen: Ints, rounds: int) -> Doubles:
    """(len(chosen),) margins of the chosen rows after `rounds` trees."""
    parts = [
        booster.inplace_predict(
            rows.vector[part], predict_type="margin", base_margin=rows.base[part], iteration_range=(0, rounds)
        )
        for part in (chosen[start : start + _BATCH] for start in range(0, len(chosen), _BATCH))
    ]
    return np.concatenate(parts).astype(np.float64)


def losses(margin: Doubles, rows: TreeRows) -> Doubles:
    """(n,) log loss of each row, after calibration if there is a text stage.

    Trees that only bend the text's margin, as a calibrator does, then gain nothing. If all rows start from the same
    prior there is nothing to bend, and the loss is taken as it is.
    """
    if np.ptp(rows.base):
        straight = fit_calibrator(margin, rows.labels, rows.folds, ("platt", "bent"))
        return log_loss(straight.score(margin), rows.labels)
    return np.asarray(np.logaddexp(0, margin) - margin * rows.labels)
