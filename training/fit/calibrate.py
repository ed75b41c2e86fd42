"""Fits a calibrator on held-out or out-of-fold margins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from models.calibrator import Calibrator
from training.config import METHODS, CalibrationMethod

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Maker = Callable[[Doubles, Bools], Calibrator]
Ints = npt.NDArray[np.int64]

# Quantiles of positives and negatives at which the piecewise-linear function may change its slope. Using the quantiles
# of both kinds covers both ends.
_QUANTILES = (0.1, 0.35, 0.65, 0.9)
# Penalties on changes of slope, from the straightest function to the most flexible.
_STIFFNESS = (30.0, 3.0, 0.3)
_FLATTEST = 0.02
_STEPS, _TINY, _RIDGE = 50, 1e-7, 1e-6


def fit_calibrator(
    margins: Doubles, labels: Bools, folds: Ints, methods: Sequence[CalibrationMethod] = METHODS
) -> Calibrator:
    """The simplest calibrator whose held-out log loss is within one standard error of the best.

    From the simplest: Platt scaling, beta calibration, a piecewise-linear function with few segments (stiff to
    flexible), centred isotonic regression.

    Args:
        margins: (n,) out-of-fold or otherwise held-out margins.
        labels: (n,) True for positives; both kinds in every fold's complement.
        folds: (n,) folds for comparing the methods.
        methods: the methods to compare; a single one is fitted without comparing.
    """
    tried = _makers(methods)
    losses = np.zeros((len(tried), len(margins)))
    if len(tried) > 1:
        for i, make in enumerate(tried):
            for fold in np.unique(folds):
                inside = folds == fold
                losses[i, inside] = log_loss(
                    make(margins[~inside], labels[~inside]).score(margins[inside]), labels[inside]
                )
    best = int(losses.mean(axis=1).argmin())
    worse = losses - losses[best]
    error = worse.std(axis=1) / np.sqrt(len(margins))
    chosen = int(np.argmax(worse.mean(axis=1) <= error))
    return tried[chosen](margins, labels)


def _makers(methods: Sequence[CalibrationMethod]) -> list[Maker]:
    by_method: dict[CalibrationMethod, list[Maker]] = {
        "platt": [_platt],
        "beta": [_beta],
        "bent": [partial(_bent, stiffness=stiffness) for stiffness in _STIFFNESS],
        "isotonic": [_isotonic],
    }
    return [make for method in METHODS if method in methods for make in by_method[method]]


def _platt(margins: Doubles, labels: Bools) -> Calibrator:
    """Platt (1999): a straight line."""
    low, high = _ends(margins)
    design = np.column_stack((np.ones(len(margins)), margins - low))
    found = _rising(design, _targets(labels), np.zeros((2, 2)))
    return Calibrator((low, high), (float(found[0]), float(found[0] + found[1] * (high - low))), method="platt")


def _beta(margins: Doubles, labels: Bools) -> Calibrator:
    """Kull, Silva Filho and Flach (2017): c + a ln s − b ln(1 − s) of the logistic s, with a, b ≥ 0."""
    below, above = -np.logaddexp(0, -margins), np.logaddexp(0, margins)
    design = np.column_stack((np.ones(len(margins)), below, above))
    c, a, b = _rising(design, _targets(labels), np.zeros((3, 3))).tolist()
    low, high = _ends(margins)
    return Calibrator((low, high), (c + b * low, c + b * high), knee=b - a, method="beta")


def _isotonic(margins: Doubles, labels: Bools) -> Calibrator:
    """Oron and Flournoy (2017): a knot at each block's mean margin, and straight lines in log-odds between knots."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(margins, kind="stable")
    sorted_margins = margins[order]
    # Rows with equal margins are one observation.
    distinct, first, sizes = np.unique(sorted_margins, return_index=True, return_counts=True)
    rates = np.add.reduceat(_targets(labels)[order], first) / sizes
    fitted = isotonic_regression(rates, weights=sizes)
    # Neighbours that differ only by rounding are one block.
    starts = fitted.blocks[:-1]
    starts = starts[np.append(True, np.diff(fitted.x[starts]) > _TINY)]
    weights = np.add.reduceat(sizes, starts)
    knots = np.add.reduceat(distinct * sizes, starts) / weights
    if len(knots) < 2:
        return _platt(margins, labels)
    p = fitted.x[starts]
    log_odds = np.log(p / (1 - p))
    # Beyond the outer knots it is almost but not quite flat, so the ranking is kept.
    low, high = knots[0] - 1, knots[-1] + 1
    return Calibrator(
        (float(low), *knots.tolist(), float(high)),
        (float(log_odds[0] - _FLATTEST), *log_odds.tolist(), float(log_odds[-1] + _FLATTEST)),
        method="isotonic",
    )


def _ends(margins: Doubles) -> tuple[float, float]:
    low, high = float(margins.min()), float(margins.max())
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _knots(margins: Doubles, labels: Bools) -> Doubles:
    at = np.concatenate([np.quantile(margins[kind], _QUANTILES) for kind in (labels, ~labels)])
    knots = np.unique(np.round(at, 3))
    return knots if len(knots) > 1 else np.array([knots[0] - 0.5, knots[0] + 0.5])


def _bent(margins: Doubles, labels: Bools, *, stiffness: float) -> Calibrator:
    """Penalised maximum likelihood for the first knot's log-odds and each segment's slope."""
    knots = _knots(margins, labels)
    widths = np.diff(knots)
    # How much of each segment lies below a margin. The outer segments are unbounded.
    reach = np.clip(margins[:, None] - knots[:-1], 0, widths)
    reach[:, 0] = np.minimum(margins - knots[0], widths[0])
    last = knots[-2]
    reach[:, -1] = np.where(margins > last, margins - last, 0) if len(widths) > 1 else margins - knots[0]
    design = np.column_stack((np.ones(len(margins)), reach))
    bends = np.diff(np.eye(len(widths)), axis=0)
    penalty = np.zeros((design.shape[1], design.shape[1]))
    penalty[1:, 1:] = stiffness * bends.T @ bends
    found = _rising(design, _targets(labels), penalty)
    log_odds = found[0] + np.concatenate(([0.0], np.cumsum(found[1:] * widths)))
    return Calibrator(tuple(knots.tolist()), tuple(log_odds.tolist()), method="bent")


def _targets(labels: Bools) -> Doubles:
    """(n,) Platt's (1999) targets, slightly off 0 and 1, so that separable rows give finite slopes."""
    positives = labels.sum()
    return np.asarray(np.where(labels, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)))


def _rising(design: Doubles, targets: Doubles, penalty: Doubles) -> Doubles:
    """The best parameters with no slope below `_FLATTEST`: slopes that fall below are fixed there, until none does."""
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
    """Newton's method with step halving on the free parameters of a convex loss."""

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
    """(n,) log loss of each score in [0, 1] against its label."""
    p = np.clip(scores, 1e-9, 1 - 1e-9)
    return -np.log(np.where(labels, p, 1 - p))
