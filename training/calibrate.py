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
_STEPS, _TINY, _RIDGE = 50, 1e-7, 1e-6


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
            losses[i, inside] = log_loss(fitted.score(margins[inside]), labels[inside])
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
    """Penalised maximum likelihood over the first knot's log-odds and each segment's slope.

    Labels count as Platt (1999) has them, a little off 0 and 1, so that separable rows give finite slopes.
    """
    widths = np.diff(knots)
    # How much of each segment lies below a margin; the end segments have no end.
    reach = np.clip(margins[:, None] - knots[:-1], 0, widths)
    reach[:, 0] = np.minimum(margins - knots[0], widths[0])
    last = knots[-2]
    reach[:, -1] = np.where(margins > last, margins - last, 0) if len(widths) > 1 else margins - knots[0]
    design = np.column_stack((np.ones(len(margins)), reach))
    bends = np.diff(np.eye(len(widths)), axis=0)
    penalty = np.zeros((design.shape[1], design.shape[1]))
    penalty[1:, 1:] = stiffness * bends.T @ bends
    positives = labels.sum()
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    found = _rising(design, targets, penalty)
    log_odds = found[0] + np.concatenate(([0.0], np.cumsum(found[1:] * widths)))
    return Calibrator(tuple(knots.tolist()), tuple(log_odds.tolist()))


def _rising(design: Doubles, targets: Doubles, penalty: Doubles) -> Doubles:
    """The best parameters with no slope below the flattest: those that want to be are held there, until none does."""
    parameters = np.append(0.0, np.ones(design.shape[1] - 1))
    free = np.ones(len(parameters), dtype=np.bool_)
    while True:
        parameters = _newton(design, targets, penalty, parameters, free)
        low = free & (parameters < _FLATTEST)
        low[0] = False
        if not low.any():
            return parameters
        free &= ~low
        parameters[~free] = np.append(parameters[0], np.full(len(parameters) - 1, _FLATTEST))[~free]


def _newton(design: Doubles, targets: Doubles, penalty: Doubles, start: Doubles, free: Bools) -> Doubles:
    """Newton's method with halved steps on the free parameters of a convex loss."""

    def loss(parameters: Doubles) -> float:
        z = design @ parameters
        return float(np.logaddexp(0, z).sum() - z @ targets + parameters @ penalty @ parameters / 2)

    parameters, now = start, loss(start)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ parameters, -500, 500)))
        gradient = (design.T @ (p - targets) + penalty @ parameters)[free]
        curvature = (design.T * (p * (1 - p))) @ design + penalty + _RIDGE * np.eye(len(parameters))
        step = np.zeros(len(parameters))
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient)
        while (after := loss(parameters - step)) > now and np.abs(step).max() > _TINY:
            step /= 2
        parameters, now = parameters - step, min(after, now)
        if np.abs(step).max() <= _TINY:
            break
    return parameters


def log_loss(scores: Doubles, labels: Bools) -> Doubles:
    """(n,) minus the logarithm of the probability that each score gave to what came true."""
    p = np.clip(scores, 1e-9, 1 - 1e-9)
    return -np.log(np.where(labels, p, 1 - p))
