"""Fits a version's calibrator on margins of rows that the margin's model didn't see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.calibrator import Calibrator

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

# Quantiles of the positives and the negatives at which the line may bend, so that both ends are covered.
_QUANTILES = (0.1, 0.35, 0.65, 0.9)
# How strongly a bend is held back, from a straight line to a free one.
_STIFFNESS = (1e4, 30.0, 3.0, 0.3)
_FLATTEST = 0.02


def fit_calibrator(margins: Doubles, labels: Bools, folds: Ints) -> Calibrator:
    """The stiffest line whose held-out log loss is within one standard error of the best.

    Args:
        margins: (n,) out-of-fold or otherwise held-out margins.
        labels: (n,) with both kinds in every fold's complement.
        folds: (n,) used to choose the stiffness.
    """
    knots = _knots(margins, labels)
    losses = np.zeros((len(_STIFFNESS), len(margins)))
    for i, stiffness in enumerate(_STIFFNESS):
        for fold in np.unique(folds):
            inside = folds == fold
            fitted = _fit(margins[~inside], labels[~inside], knots, stiffness)
            losses[i, inside] = _log_loss(fitted.score(margins[inside]), labels[inside])
    best = int(losses.mean(axis=1).argmin())
    worse = losses - losses[best]
    error = worse.std(axis=1) / np.sqrt(len(margins))
    chosen = int(np.argmax(worse.mean(axis=1) <= error))
    return _fit(margins, labels, knots, _STIFFNESS[chosen])


def _knots(margins: Doubles, labels: Bools) -> Doubles:
    at = np.concatenate([np.quantile(margins[kind], _QUANTILES) for kind in (labels, ~labels)])
    knots = np.unique(np.round(at, 3))
    return knots if len(knots) > 1 else np.array([knots[0] - 0.5, knots[0] + 0.5])


def _fit(margins: Doubles, labels: Bools, knots: Doubles, stiffness: float) -> Calibrator:
    """Penalised maximum likelihood over the first knot's log-odds and each segment's slope."""
    from scipy.optimize import minimize

    widths = np.diff(knots)
    # How much of each segment lies below a margin; the end segments have no end.
    reach = np.clip(margins[:, None] - knots[:-1], 0, widths)
    reach[:, 0] = np.minimum(margins - knots[0], widths[0])
    reach[:, -1] = np.where(margins > knots[-2], margins - knots[-2], reach[:, -1])
    design = np.column_stack((np.ones(len(margins)), reach))
    bends = np.diff(np.eye(len(widths)), axis=0)

    def loss(parameters: Doubles) -> tuple[float, Doubles]:
        z = design @ parameters
        off = 1 / (1 + np.exp(-z)) - labels
        bent = bends @ parameters[1:]
        value = np.logaddexp(0, z).sum() - z[labels].sum() + stiffness * (bent @ bent) / 2
        return value, design.T @ off + np.append(0.0, stiffness * bends.T @ bent)

    start = np.append(knots[0], np.ones(len(widths)))
    bounds = [(None, None), *[(_FLATTEST, None)] * len(widths)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    log_odds = found[0] + np.concatenate(([0.0], np.cumsum(found[1:] * widths)))
    return Calibrator(tuple(knots.tolist()), tuple(log_odds.tolist()))


def _log_loss(scores: Doubles, labels: Bools) -> Doubles:
    p = np.clip(scores, 1e-9, 1 - 1e-9)
    return -np.log(np.where(labels, p, 1 - p))
