"""Chooses a version's tiers: the lowest scores whose precision is supported by the calibration rows.

Rows with equal texts, or of one account, are one observation: a thousand copies of one spam text support no tier.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leads.policies import HarmPolicy, TierPolicy
from models.thresholds import Thresholds

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Groups = npt.NDArray[np.uint64]

CONFIDENCE = 0.95
# Where walks down the scores begin, as shares of the rows above. The 5% risk is split among the walks.
_STARTS = (0.002, 0.005, 0.015, 0.05, 0.15)
# Each tested cut holds at least this multiple of the previous cut's rows; closer cuts would say the same.
_STEP = 1.05


def choose(scores: Doubles, labels: Bools, groups: Groups, policy: HarmPolicy, *, borrowed: bool = False) -> Thresholds:
    """Choose thresholds by the (n,) scores and labels of the calibration rows.

    There is always a review tier, since without one the harm would have no leads and never get labels. If no score
    supports its precision, it starts at the policy's `at_least`. The auto tier exists only if the rows support it.

    Args:
        groups: (n,) equal for rows that are one observation.
        borrowed: the rows come from public corpora, which can't justify automatic decisions.
    """
    review, why_review = lowest(scores, labels, groups, policy.review, down_to_target=True)
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
        auto, why["auto"] = lowest(scores, labels, groups, policy.auto)
    return Thresholds(review, auto, why)


def lower_bound(hits: Doubles, of: Doubles, confidence: float = CONFIDENCE) -> Doubles:
    """(n,) one-sided lower confidence bounds of shares `hits / of` (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    found = beta.ppf(1 - confidence, np.where(hits > 0, hits, 1), of - hits + 1)
    return np.where(hits > 0, found, 0.0)


def lowest(
    scores: Doubles, labels: Bools, groups: Groups, policy: TierPolicy, *, down_to_target: bool = False
) -> tuple[float | None, str]:
    """The lowest score whose precision is at least the target with 95% confidence, and a sentence on why.

    Since many cuts are tested, the order of the tests is fixed (Learn then Test, Angelopoulos et al. 2021): a few walks
    begin at fixed positions and go down until a test fails, so a lucky cut further down is never taken. The risk is
    split among the walks.

    Args:
        scores: (n,) scores in [0, 1] that the rows had no part in: out-of-fold, or of rows that were left out.
        labels: (n,) True for violating rows.
        groups: (n,) equal for rows that are one observation.
        down_to_target: if no row has a score between the target and this lowest score, return the target. The rows
            above are the same, and a calibrated score there promises as much. Not for what is decided without people.
    """
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    # A threshold includes either all rows with equal scores or none of them.
    ends = np.flatnonzero(np.append(falling[1:] < falling[:-1], True)) if len(falling) else np.empty(0, dtype=np.int64)
    ends = ends[falling[ends] >= policy.at_least]
    if not len(ends):
        return None, f"No calibration row has a score of {policy.at_least:g} or more."
    of, hits = ends + 1, np.cumsum(labels[order], dtype=np.int64)[ends]
    observed = _observations(groups[order])[ends]
    starts = _starts(of, observed, len(scores), policy.precision)
    confidence = 1 - (1 - CONFIDENCE) / len(starts)
    bounds = lower_bound(hits / of * observed, observed, confidence)
    reached = [i for start in starts if (i := _walk(bounds, of, start, policy.precision)) is not None]
    if reached:
        i = max(reached)
        target = max(policy.precision, policy.at_least)
        found, below = float(falling[ends[i]]), falling[of[i] :]
        if down_to_target and not (below >= target).any():
            found = min(found, target)
        return found, (
            f"{_counted(hits[i], of[i], observed[i])} with this score or more violate: with 95% confidence the "
            f"precision is at least {bounds[i]:.3f} (target {policy.precision:g})."
        )
    best = int(np.argmax(bounds))
    return None, (
        f"No score has a precision of {policy.precision:g} with 95% confidence. The best lower bound is "
        f"{bounds[best]:.3f}: {_counted(hits[best], of[best], observed[best])} with a score of "
        f"{falling[ends[best]]:.3f} or more violate."
    )


def _counted(hits: np.int64, of: np.int64, observed: np.float64) -> str:
    """
    >>> _counted(np.int64(9), np.int64(10), np.float64(10)), _counted(np.int64(9), np.int64(10), np.float64(2.4))
    ('9 of 10 calibration rows', '9 of 10 calibration rows (worth 2 distinct ones)')
    """
    worth = f" (worth {int(observed):,} distinct ones)" if observed < of - 0.5 else ""
    return f"{hits} of {of} calibration rows{worth}"


def _observations(groups: Groups) -> Doubles:
    """(n,) the effective number of observations among the first 1, 2, … n rows; see `leads.estimates.clusters`."""
    n = len(groups)
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    # How many rows of its group come before each row.
    before = np.empty(n, dtype=np.int64)
    before[order] = np.arange(n) - np.maximum.accumulate(np.where(first, np.arange(n), 0))
    rows = np.arange(1, n + 1, dtype=np.float64)
    return np.asarray(rows**2 / np.cumsum(2 * before + 1))


def _starts(of: Ints, observed: Doubles, rows: int, precision: float) -> list[int]:
    """Positions among the cuts where walks begin, each with enough observations that perfect precision would pass."""
    fewest = np.log((1 - CONFIDENCE) / len(_STARTS)) / np.log(precision)
    enough = np.searchsorted(np.maximum.accumulate(observed), fewest)
    found = np.maximum(np.searchsorted(of, [share * rows for share in _STARTS]), enough)
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
