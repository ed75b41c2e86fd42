"""Where a version's tiers start: the lowest score whose precision held-out rows support."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leads.policies import HarmPolicy, TierPolicy
from models.thresholds import Thresholds

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

CONFIDENCE = 0.95
# Scores at which the walk down begins, as shares of the rows above them; the risk of 5% is split among them.
_STARTS = (0.002, 0.005, 0.015, 0.05, 0.15)
# Cuts that are tested take so many times the rows of the one before: neighbours would tell the same.
_STEP = 1.05


def choose(scores: Doubles, labels: Bools, policy: HarmPolicy, *, borrowed: bool = False) -> Thresholds:
    """Thresholds from (n,) held-out scores and labels.

    Args:
        borrowed: the rows are not like those that will be scored; nothing is decided automatically on their word.

    A review tier always exists, since without one the harm would give no leads and so never any labels: when no score
    supports its precision it starts at `at_least`. An automatic tier exists only when the rows support it.
    """
    review, why_review = lowest(scores, labels, policy.review)
    why = {"review": why_review}
    if review is None:
        review = policy.review.at_least
        why["review"] += f" It starts at {review:g} nevertheless, so that reviewers see leads and labels come."
    auto = None
    if policy.auto is None:
        why["auto"] = "The policy declares none."
    elif borrowed:
        why["auto"] = "There are too few labels of the platform's own subjects: public corpora vouch for none here."
    else:
        auto, why["auto"] = lowest(scores, labels, policy.auto)
    return Thresholds(review, auto, why)


def lower_bound(hits: Ints, of: Ints, confidence: float = CONFIDENCE) -> Doubles:
    """One-sided lower bound of a share (Clopper and Pearson 1934): the chance to see `hits` or more is small there."""
    from scipy.stats import beta

    return np.where(hits > 0, beta.ppf(1 - confidence, np.maximum(hits, 1), of - hits + 1), 0.0)


def lowest(scores: Doubles, labels: Bools, policy: TierPolicy) -> tuple[float | None, str]:
    """The lowest score whose precision is at least the target with 95% confidence, although many were looked at.

    Learn then Test (Angelopoulos et al. 2021): from a few starts fixed beforehand the walk goes down, test by test, and
    ends at the first that fails, so that a lucky cut further down is never taken. Among the starts the risk is split.
    """
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    # A threshold takes all rows of one score or none.
    ends = np.flatnonzero(np.append(falling[1:] < falling[:-1], True)) if len(falling) else np.empty(0, dtype=np.int64)
    ends = ends[falling[ends] >= policy.at_least]
    if not len(ends):
        return None, f"No held-out row scores {policy.at_least:g} or more."
    of = ends + 1
    hits = np.cumsum(labels[order], dtype=np.int64)[ends]
    starts = _starts(of, len(scores), policy.precision)
    confidence = 1 - (1 - CONFIDENCE) / len(starts)
    bounds = lower_bound(hits, of, confidence)
    reached = [i for start in starts if (i := _walk(bounds, of, start, policy.precision)) is not None]
    if reached:
        i = max(reached)
        return float(falling[ends[i]]), (
            f"{hits[i]} of {of[i]} held-out rows from here up violate; with 95% confidence the precision is at least "
            f"{bounds[i]:.3f}, the target is {policy.precision:g}."
        )
    best = int(np.argmax(bounds))
    return None, (
        f"No score supports a precision of {policy.precision:g} with 95% confidence; the best is at least "
        f"{bounds[best]:.3f}, with {hits[best]} of {of[best]} held-out rows from {falling[ends[best]]:.3f} up."
    )


def _starts(of: Ints, rows: int, precision: float) -> list[int]:
    """Positions among the cuts where walks begin: none so far up that not even a perfect record would do."""
    fewest = np.log((1 - CONFIDENCE) / len(_STARTS)) / np.log(precision)
    found = np.searchsorted(of, [max(share * rows, fewest) for share in _STARTS])
    return sorted({min(int(i), len(of) - 1) for i in found})


def _walk(bounds: Doubles, of: Ints, start: int, precision: float) -> int | None:
    """How far down from `start` every cut holds the precision; each takes at least a twentieth more rows."""
    reached, i = None, start
    while bounds[i] >= precision:
        reached = i
        if i == len(bounds) - 1:
            break
        i = min(max(i + 1, int(np.searchsorted(of, of[i] * _STEP))), len(bounds) - 1)
    return reached
