"""Fits the booster: as many trees as held-out folds profit from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from training.config import TrainingConfig
from training.fit.calibrate import fit_calibrator, log_loss

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

# Rows that are scored in one piece, to bound the memory.
_AT_ONCE = 100_000


def never_lower(config: TrainingConfig, names: Sequence[str]) -> tuple[bool, ...]:
    """Which columns must not lower a score when they grow."""
    return tuple(any(fnmatchcase(name, pattern) for pattern in config.never_lower) for name in names)


def params_of(config: TrainingConfig, names: Sequence[str], threads: int, seed: int) -> dict[str, Any]:
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
    """Rows for the booster: inputs (n, m), labels, where each margin starts, weights and folds, each (n,)."""

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


def boost(rows: TreeRows, params: dict[str, Any], config: TrainingConfig) -> tuple[xgboost.Booster, Doubles]:
    """The booster on all rows with as many trees as held-out folds ask for, and the rows' out-of-fold margins."""
    trials = [(rows.folds == fold, *trial(rows, rows.folds == fold, params, config)) for fold in np.unique(rows.folds)]
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


def trial(
    rows: TreeRows, inside: Bools, params: dict[str, Any], config: TrainingConfig
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


def _margins(booster: xgboost.Booster, rows: TreeRows, chosen: Ints, rounds: int) -> Doubles:
    """(m,) margins after `rounds` trees."""
    parts = [
        booster.inplace_predict(
            rows.vector[part], predict_type="margin", base_margin=rows.base[part], iteration_range=(0, rounds)
        )
        for part in (chosen[start : start + _AT_ONCE] for start in range(0, len(chosen), _AT_ONCE))
    ]
    return np.concatenate(parts).astype(np.float64)


def _losses(margin: Doubles, rows: TreeRows) -> Doubles:
    """(n,) after calibration where there is a text stage: trees that only bend its margin, as a calibrator does, gain
    nothing. Where all rows start from the same prior there is nothing to bend, and the plain losses count."""
    if np.ptp(rows.base):
        straight = fit_calibrator(margin, rows.labels, rows.folds, ("platt", "bent"))
        return log_loss(straight.score(margin), rows.labels)
    return np.asarray(np.logaddexp(0, margin) - margin * rows.labels)
