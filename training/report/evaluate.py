"""How good a version is on rows it never saw."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from models.thresholds import Thresholds

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ECE_BINS = 15
_SIMULATIONS = 1_000
# Labels drawn in one piece, to bound the memory.
_AT_ONCE = 50


class AtTier(msgspec.Struct, frozen=True):
    """What a tier holds among the test rows; None where a share of nothing is asked for."""

    tier: str
    threshold: float
    rows: int
    precision: float | None
    recall: float | None


class Evaluation(msgspec.Struct, frozen=True):
    """Args:
    ap: average precision, the area under the precision-recall curve.
    ece: expected calibration error over 15 bins of equal mass.
    ece_p: share of draws, were every score exactly right, in which chance alone gives so large an `ece`.
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
    """Measure (n,) scores against (n,) labels, which hold both kinds."""
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
    """Mean squared distance of score and label."""
    return float(np.mean((scores - labels) ** 2))


def ece(scores: Doubles, labels: Bools) -> float:
    """Mean distance of score and share of positives over bins of equal mass."""
    ordered = labels[None, np.argsort(scores, kind="stable")].astype(np.float64)
    return float(_errors(_binned(scores), ordered)[0])


def ece_p_value(scores: Doubles, labels: Bools, *, seed: int) -> float:
    """Chance of an error at least as large under perfect calibration, for these very scores.

    Labels are drawn 1,000 times from the scores; below 0.05 the scores are not the probabilities they claim to be.
    """
    binned, values, found = _binned(scores), np.sort(scores, kind="stable"), ece(scores, labels)
    random = np.random.default_rng(seed)
    as_large = 0
    for _ in range(0, _SIMULATIONS, _AT_ONCE):
        drawn = random.random((_AT_ONCE, len(values)), dtype=np.float32) < values
        as_large += int((_errors(binned, drawn.astype(np.float64)) >= found).sum())
    return (1 + as_large) / (1 + _SIMULATIONS)


def reliability(scores: Doubles, labels: Bools) -> list[tuple[float, float, int]]:
    """Each bin's mean score, share of positives and size."""
    order = np.argsort(scores, kind="stable")
    return [
        (float(scores[part].mean()), float(labels[part].mean()), len(part))
        for part in np.array_split(order, ECE_BINS)
        if len(part)
    ]


def _binned(scores: Doubles) -> tuple[npt.NDArray[np.int64], Doubles]:
    """Where each bin starts among the ascending scores, and the sum of the scores in it."""
    parts = [part for part in np.array_split(np.sort(scores, kind="stable"), ECE_BINS) if len(part)]
    sizes = np.array([len(part) for part in parts])
    return np.cumsum(sizes) - sizes, np.array([part.sum() for part in parts])


def _errors(binned: tuple[npt.NDArray[np.int64], Doubles], labels: Doubles) -> Doubles:
    """The error of each row of (s, n) labels, in the order of the ascending scores."""
    starts, sums = binned
    gaps = np.abs(np.add.reduceat(labels, starts, axis=1) - sums)
    return np.asarray(gaps.sum(axis=1) / labels.shape[1])


def _at(tier: str, threshold: float, scores: Doubles, labels: Bools) -> AtTier:
    inside = scores >= threshold
    hits, rows, positives = int((inside & labels).sum()), int(inside.sum()), int(labels.sum())
    return AtTier(tier, threshold, rows, hits / rows if rows else None, hits / positives if positives else None)
