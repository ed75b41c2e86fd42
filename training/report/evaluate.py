"""Measures of scores against labels: average precision, ROC AUC, Brier score, calibration error, tiers."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from models.thresholds import Thresholds

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ECE_BINS = 15
_SIMULATIONS = 1_000
# Simulated sets of labels drawn at once, to bound memory.
_BATCH = 50


class AtTier(msgspec.Struct, frozen=True):
    """A tier on the held-out rows. `precision` is None if no row is in the tier, `recall` if no row violates."""

    tier: str
    threshold: float
    rows: int
    precision: float | None
    recall: float | None


class Evaluation(msgspec.Struct, frozen=True):
    """Measures of one version on held-out rows.

    Args:
        ap: average precision, the area under the precision-recall curve.
        brier: mean squared difference between score and label.
        ece: expected calibration error over 15 bins of equal size.
        ece_p: p-value of perfect calibration; see `ece_p_value`.
    """

    rows: int
    positives: int
    ap: float
    roc_auc: float
    brier: float
    ece: float
    ece_p: float
    tiers: tuple[AtTier, ...]


def evaluate(scores: Doubles, labels: Bools, thresholds: Thresholds, *, seed: int) -> Evaluation:
    """Measure (n,) scores in [0, 1] against (n,) labels, which must contain both kinds."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    tiers = (("review", thresholds.review), ("auto", thresholds.auto))
    return Evaluation(
        rows=len(labels),
        positives=int(labels.sum()),
        ap=float(average_precision_score(labels, scores)),
        roc_auc=float(roc_auc_score(labels, scores)),
        brier=brier(scores, labels),
        ece=ece(scores, labels),
        ece_p=ece_p_value(scores, labels, seed=seed),
        tiers=tuple(_at(name, start, scores, labels) for name, start in tiers if start is not None),
    )


def brier(scores: Doubles, labels: Bools) -> float:
    """Mean squared difference between score and label."""
    return float(np.mean((scores - labels) ** 2))


def ece(scores: Doubles, labels: Bools) -> float:
    """Expected calibration error: the mean difference of score and share of positives over 15 bins of equal size."""
    ordered = labels[None, np.argsort(scores, kind="stable")].astype(np.float64)
    return float(_errors(_binned(scores), ordered)[0])


def ece_p_value(scores: Doubles, labels: Bools, *, seed: int) -> float:
    """The p-value of perfect calibration: how often chance alone gives an `ece` at least this large.

    Labels are drawn 1,000 times with the scores as their probabilities. Below 0.05 the scores are miscalibrated.
    """
    binned, values, found = _binned(scores), np.sort(scores, kind="stable"), ece(scores, labels)
    random = np.random.default_rng(seed)
    as_large = 0
    for _ in range(0, _SIMULATIONS, _BATCH):
        drawn = random.random((_BATCH, len(values)), dtype=np.float32) < values
        as_large += int((_errors(binned, drawn.astype(np.float64)) >= found).sum())
    return (1 + as_large) / (1 + _SIMULATIONS)


def reliability(scores: Doubles, labels: Bools) -> list[tuple[float, float, int]]:
    """Mean score, share of positives and size of each bin."""
    order = np.argsort(scores, kind="stable")
    return [
        (float(scores[part].mean()), float(labels[part].mean()), len(part))
        for part in np.array_split(order, ECE_BINS)
        if len(part)
    ]


def _binned(scores: Doubles) -> tuple[npt.NDArray[np.int64], Doubles]:
    """The first position of each bin among the ascending scores, and the sum of its scores."""
    parts = [part for part in np.array_split(np.sort(scores, kind="stable"), ECE_BINS) if len(part)]
    sizes = np.array([len(part) for part in parts])
    return np.cumsum(sizes) - sizes, np.array([part.sum() for part in parts])


def _errors(binned: tuple[npt.NDArray[np.int64], Doubles], labels: Doubles) -> Doubles:
    """(s,) the error of each of s sets of n labels, which are in the order of ascending scores."""
    starts, sums = binned
    gaps = np.abs(np.add.reduceat(labels, starts, axis=1) - sums)
    return np.asarray(gaps.sum(axis=1) / labels.shape[1])


def _at(tier: str, threshold: float, scores: Doubles, labels: Bools) -> AtTier:
    inside = scores >= threshold
    hits, rows, positives = int((inside & labels).sum()), int(inside.sum()), int(labels.sum())
    return AtTier(tier, threshold, rows, hits / rows if rows else None, hits / positives if positives else None)
