"""Intervals of measures on held-out rows, resampled by observation: rows with equal texts are drawn together.

Two versions are measured on the same resamples, so sampling noise common to both cancels out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from leads.errors import NotEnoughData
from leads.estimates.clusters import observations
from training.report.calibration import ece

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int32]

RESAMPLES = 1_000
# Resamples evaluated at once, to bound memory.
_BATCH = 50
_BOUNDS = (2.5, 97.5)
_TAIL = 0.025


class Interval(msgspec.Struct, frozen=True):
    """A measure on the rows as they are, and its 95% percentile interval over resamples of the rows."""

    found: float
    low: float
    high: float

    def text(self, *, signed: bool = False) -> str:
        """
        >>> Interval(0.5, 0.25, 0.75).text()
        '0.500 (0.250 to 0.750)'
        """
        form = "+.3f" if signed else ".3f"
        return f"{self.found:{form}} ({self.low:{form}} to {self.high:{form}})"


class Resamples(NamedTuple):
    """r resamples of n rows.

    Args:
        counts: (r, n) how often each row is drawn; every resample holds both kinds.
        observed: distinct observations with a violating row.
    """

    counts: Counts
    labels: Bools
    observed: int


def resample(labels: Bools, groups: Groups, *, seed: int, times: int = RESAMPLES) -> Resamples:
    """Draw rows with replacement, equal groups together (cluster bootstrap, Davison and Hinkley 1997, section 3.8).

    Args:
        groups: (n,) equal for rows with equal texts, which are one observation.

    Raises:
        NotEnoughData: all labels are of one kind.
    """
    if labels.all() or not labels.any():
        raise NotEnoughData("All held-out labels are of one kind.", remedy="Make more decisions, then train again.")
    random = np.random.default_rng(seed)
    _, inverse = np.unique(groups, return_inverse=True)
    clusters = int(inverse.max()) + 1
    kept: list[npt.NDArray[np.int64]] = []
    while len(kept) < times:
        drawn = np.bincount(random.integers(clusters, size=clusters), minlength=clusters)[inverse]
        if drawn[labels].any() and drawn[~labels].any():
            kept.append(drawn)
    return Resamples(np.array(kept, dtype=np.int32), labels, len(np.unique(groups[labels])))


def average_precision(scores: Doubles, labels: Bools, counts: Counts) -> Doubles:
    """(r,) average precision as scikit-learn defines it, of rows weighted by (r, n) `counts`.

    Σ (recall_k − recall_{k−1}) · precision_k over the distinct scores k in descending order.

    >>> average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, False, True]), np.ones((1, 3), np.int32)).item()
    0.8333333333333333
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = labels[order]
    found = []
    for some in _pieces(counts):
        ordered = some[:, order]
        above = np.cumsum(ordered, axis=1)[:, ends]
        right = np.cumsum(ordered * hits, axis=1)[:, ends]
        gained = np.diff(right, axis=1, prepend=0)
        found.append((gained * right / np.maximum(above, 1)).sum(axis=1) / right[:, -1])
    return np.concatenate(found)


def roc_auc(scores: Doubles, labels: Bools, counts: Counts) -> Doubles:
    """(r,) area under the ROC curve of rows weighted by (r, n) `counts`; equal scores count half.

    >>> roc_auc(np.array([0.9, 0.8, 0.1]), np.array([True, False, True]), np.ones((1, 3), np.int32)).item()
    0.5
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = labels[order]
    found = []
    for some in _pieces(counts):
        ordered = some[:, order]
        positives = np.diff(np.cumsum(ordered * hits, axis=1)[:, ends], axis=1, prepend=0)
        above = np.cumsum(ordered * ~hits, axis=1)[:, ends]
        tied = np.diff(above, axis=1, prepend=0)
        wrong = (positives * (above - tied / 2)).sum(axis=1)
        found.append(1 - wrong / (positives.sum(axis=1) * above[:, -1]))
    return np.concatenate(found)


def brier(scores: Doubles, labels: Bools, counts: Counts) -> Doubles:
    """(r,) mean squared difference between score and label."""
    return np.asarray(counts @ (scores - labels) ** 2 / counts.sum(axis=1))


def calibration_error(scores: Doubles, labels: Bools, counts: Counts) -> Doubles:
    """(r,) expected calibration error; see `training.report.calibration.ece`."""
    order = np.argsort(scores, kind="stable")
    drawn = (np.repeat(order, times[order]) for times in counts)
    return np.array([ece(scores[rows], labels[rows]) for rows in drawn])


Measure = Callable[[Doubles, Bools, Counts], Doubles]


def measure(of: Measure, scores: Doubles, drawn: Resamples) -> Interval:
    """A measure of one version's (n,) scores, with its interval."""
    whole = np.ones((1, len(scores)), dtype=np.int32)
    found = of(scores, drawn.labels, whole).item()
    measured = _interval(of, found, of(scores, drawn.labels, drawn.counts))
    if of in (average_precision, roc_auc):
        low = min(measured.low, found * surely_seen(drawn.observed))
        return Interval(found, low, measured.high)
    return measured


def surely_seen(observed: int) -> float:
    """The least share of violating subjects that are like one of `observed` distinct ones (97.5% confidence).

    It bounds a measure of ranking from below, because the others may rank at the bottom. Resampling alone would give a
    version that ranks every held-out row correctly an interval without any width.

    >>> round(surely_seen(20), 3), round(surely_seen(1_000), 3)
    (0.832, 0.996)
    """
    return float(_TAIL ** (1 / observed))


def difference(of: Measure, old: Doubles, new: Doubles, drawn: Resamples) -> Interval:
    """A measure of `new` minus that of `old`, (n,) scores each, on the same resamples."""
    whole = np.ones((1, len(old)), dtype=np.int32)
    found = (of(new, drawn.labels, whole) - of(old, drawn.labels, whole)).item()
    return _interval(of, found, of(new, drawn.labels, drawn.counts) - of(old, drawn.labels, drawn.counts))


def interval(found: float, over_resamples: Doubles) -> Interval:
    """The percentile interval."""
    low, high = np.percentile(over_resamples, _BOUNDS).tolist()
    return Interval(float(found), low, high)


def _interval(of: Measure, found: float, over: Doubles) -> Interval:
    """Repeated rows add calibration error, so the resamples of that measure are shifted back to the value found."""
    return interval(found, over + (found - np.median(over)) if of is calibration_error else over)


def share(hits: Bools, groups: Groups) -> Interval | None:
    """The share of True among n rows with its 95% interval (Wilson 1927); None if there are no rows.

    Rows of one group are one observation: the interval is that of their effective number (`observations`).

    >>> apart, equal = np.arange(10, dtype=np.uint64), np.zeros(10, np.uint64)
    >>> share(apart < 8, apart).text(), share(apart < 10, equal).text()
    ('0.800 (0.490 to 0.943)', '1.000 (0.207 to 1.000)')
    """
    if not len(hits):
        return None
    p, n, z2 = float(hits.mean()), observations(groups), 1.96**2
    middle, half = p + z2 / (2 * n), 1.96 * math.sqrt(p * (1 - p) / n + z2 / (4 * n**2))
    return Interval(p, (middle - half) / (1 + z2 / n), min(1.0, (middle + half) / (1 + z2 / n)))


def _pieces(counts: Counts) -> Iterator[Counts]:
    for start in range(0, len(counts), _BATCH):
        yield counts[start : start + _BATCH]
