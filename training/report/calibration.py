"""Calibration error, its p-value, and the rule by which a version counts as miscalibrated."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.uint64]

ECE_BINS = 15
# The rule for every version, whether or not it is a harm's first: `verdict`. docs/training.md has the reasons.
REJECTED_P, TOLERATED_ECE = 0.01, 0.05
CALIBRATED = "Scores are calibrated."
WITHIN_TOLERANCE = "Scores are slightly miscalibrated, within the tolerance."
MISCALIBRATED = "Scores are miscalibrated."
_SIMULATIONS = 1_000
# Simulated sets of labels drawn at once, to bound memory.
_BATCH = 50


class Chance(msgspec.Struct, frozen=True):
    """What perfectly calibrated scores would give on the same rows.

    Args:
        ece: their mean calibration error, which is above 0 because rows are few.
        p: how often their error would be at least as large as the one found: the p-value of perfect calibration.
    """

    ece: float
    p: float

    def text(self) -> str:
        """
        >>> Chance(0.055, 0.007).text()
        '0.055 by chance alone, p = 0.007'
        """
        return f"{self.ece:.3f} by chance alone, p = {self.p:.3f}"


def verdict(error: float, chance: Chance) -> str:
    """What a calibration error says about a version's scores.

    They are miscalibrated if chance hardly explains the error and what it doesn't explain is large enough to matter.

    >>> verdict(0.221, Chance(0.03, 0.001)), verdict(0.07, Chance(0.055, 0.007))
    ('Scores are miscalibrated.', 'Scores are slightly miscalibrated, within the tolerance.')
    """
    if chance.p >= REJECTED_P:
        return CALIBRATED
    return WITHIN_TOLERANCE if beyond_chance(error, chance) <= TOLERATED_ECE else MISCALIBRATED


def beyond_chance(error: float, chance: Chance) -> float:
    """The part of a calibration error that chance doesn't explain: errors add up as squares (Kumar et al. 2019).

    >>> round(beyond_chance(0.05, Chance(0.03, 0.2)), 3), beyond_chance(0.02, Chance(0.03, 0.9))
    (0.04, 0.0)
    """
    return math.sqrt(max(0.0, error**2 - chance.ece**2))


def ece(scores: Doubles, labels: Bools) -> float:
    """Expected calibration error: the mean difference of score and share of positives over 15 bins of equal size."""
    ordered = labels[None, np.argsort(scores, kind="stable")].astype(np.float64)
    return float(_errors(_binned(scores), ordered)[0])


def by_chance(scores: Doubles, labels: Bools, *, groups: Groups | None = None, seed: int) -> Chance:
    """What chance alone gives: labels are drawn 1,000 times with the scores as their probabilities.

    Rows of one group share their draw, because equal texts have equal labels: drawing each by itself would make chance
    look smaller than it is.

    Args:
        groups: (n,) equal for rows that are one observation; None if every row is one.
    """
    order = np.argsort(scores, kind="stable")
    binned, values, found = _binned(scores), scores[order], ece(scores, labels)
    observation = np.arange(len(scores)) if groups is None else np.unique(groups, return_inverse=True)[1][order]
    random, observations = np.random.default_rng(seed), int(observation.max()) + 1
    errors = []
    for _ in range(0, _SIMULATIONS, _BATCH):
        drawn = random.random((_BATCH, observations), dtype=np.float32)[:, observation] < values
        errors.append(_errors(binned, drawn.astype(np.float64)))
    simulated = np.concatenate(errors)
    return Chance(float(simulated.mean()), (1 + int((simulated >= found).sum())) / (1 + _SIMULATIONS))


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
