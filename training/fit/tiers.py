"""Chooses a version's tiers: the lowest scores whose precision is supported by held-out rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leads.policies import HarmPolicy, TierPolicy
from models.thresholds import Thresholds

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

CONFIDENCE = 0.95
# Where walks down the scores begin, as shares of the rows above. The 5% risk is split among the walks.
_STARTS = (0.002, 0.005, 0.015, 0.05, 0.15)
# Each tested cut holds at least this multiple of the previous cut's rows; closer cuts would say the same.
_STEP = 1.05


def choose(scores: Doubles, labels: Bools, policy: HarmPolicy, *, borrowed: bool = False) -> Thresholds:
    """Choose thresholds by (n,) held-out scores and labels.

    There is always a review tier, since without one the harm would have no leads and never get labels. If no score
    supports its precision, it starts at the policy's `at_least`. The auto tier exists only if the rows support it.

    Args:
        borrowed: the rows come from public corpora, which can't justify automatic decisions.
    """
    review, why_review = lowest(scores, labels, policy.review)
    why = {"review": why_review}
    if review is None:
        review = policy.review.at_least
        why["review"] += f" It starts at {review:g} anyway, so that reviewers get leads and produce labels."
    auto = None
    if policy.auto is None:
        why["auto"] = "The policy has no auto tier."
    elif borrowed:
        why["auto"] = (
            "The platform has too few labels of its own, and public corpora can't justify automatic decisions."
        )
    else:
        auto, why["auto"] = lowest(scores, labels, policy.auto)
    return Thresholds(review, auto, why)


def lower_bound(hits: Ints, of: Ints, confidence: float = CONFIDENCE) -> Doubles:
    """(n,) one-sided lower confidence bounds of shares `hits / of` (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return np.where(hits > 0, beta.ppf(1 - confidence, np.maximum(hits, 1), of - hits + 1), 0.0)


def lowest(scores: Doubles, labels: Bools, policy: TierPolicy) -> tuple[float | None, str]:
    """The lowest score whose precision is at least the target with 95% confidence, and a sentence on why.

    Since many cuts are tested, the order of the tests is fixed (Learn then Test, Angelopoulos et al. 2021): a few walks
    begin at fixed positions and go down until a test fails, so a lucky cut further down is never taken. The risk is
    split among the walks.

    Args:
        scores: (n,) held-out or out-of-fold scores in [0, 1].
        labels: (n,) True for violating rows.
    """
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    # A threshold includes either all rows with equal scores or none of them.
    ends = np.flatnonzero(np.append(falling[1:] < falling[:-1], True)) if len(falling) else np.empty(0, dtype=np.int64)
    ends = ends[falling[ends] >= policy.at_least]
    if not len(ends):
        return None, f"No held-out row has a score of {policy.at_least:g} or more."
    of = ends + 1
    hits = np.cumsum(labels[order], dtype=np.int64)[ends]
    starts = _starts(of, len(scores), policy.precision)
    confidence = 1 - (1 - CONFIDENCE) / len(starts)
    bounds = lower_bound(hits, of, confidence)
    reached = [i for start in starts if (i := _walk(bounds, of, start, policy.precision)) is not None]
    if reached:
        i = max(reached)
        return float(falling[ends[i]]), (
            f"{hits[i]} of {of[i]} held-out rows with this score or more violate: with 95% confidence the precision is "
            f"at least {bounds[i]:.3f} (target {policy.precision:g})."
        )
    best = int(np.argmax(bounds))
    return None, (
        f"No score has a precision of {policy.precision:g} with 95% confidence. The best lower bound is "
        f"{bounds[best]:.3f}: {hits[best]} of {of[best]} held-out rows with a score of {falling[ends[best]]:.3f} or "
        "more violate."
    )


def _starts(of: Ints, rows: int, precision: float) -> list[int]:
    """Positions among the cuts where walks begin, each with enough rows above that perfect precision would pass."""
    fewest = np.log((1 - CONFIDENCE) / len(_STARTS)) / np.log(precision)
    found = np.searchsorted(of, [max(share * rows, fewest) for share in _STARTS])
    return sorted({min(int(i), len(of) - 1) for i in found})


def _walk(bounds: Doubles, of: Ints, start: int, precision: float) -> int | None:
    """The lowest cut reached from `start` while every tested cut holds the precision; None if the first one fails."""
    reached, i = None, start
    while bounds[i] >= precision:
        reached = i
        if i == len(bounds) - 1:
            break
        i = min(max(i + 1, int(np.searchsorted(of, of[i] * _STEP))), len(bounds) - 1)
    return reached
