"""Where a version's tiers start: the lowest score whose precision held-out rows support."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leads.policies import HarmPolicy, TierPolicy
from models.thresholds import Thresholds

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CONFIDENCE = 0.95


def choose(scores: Doubles, labels: Bools, policy: HarmPolicy) -> Thresholds:
    """Thresholds from (n,) held-out scores and labels.

    A review tier always exists, since without one the harm would give no leads and so never any labels: when no score
    supports its precision it starts at `at_least`. An automatic tier exists only when the rows support it.
    """
    review, why_review = _lowest(scores, labels, policy.review)
    why = {"review": why_review}
    if review is None:
        review = policy.review.at_least
        why["review"] += f" It starts at {review:g} nevertheless, so that reviewers see leads and labels come."
    auto = None
    if policy.auto is None:
        why["auto"] = "The policy declares none."
    else:
        auto, why["auto"] = _lowest(scores, labels, policy.auto)
    return Thresholds(review, auto, why)


def lower_bound(hits: npt.NDArray[np.int64], of: npt.NDArray[np.int64]) -> Doubles:
    """One-sided 95% lower bound of a share (Clopper and Pearson 1934): the chance to see `hits` or more is 5% there."""
    from scipy.stats import beta

    return np.where(hits > 0, beta.ppf(1 - CONFIDENCE, np.maximum(hits, 1), of - hits + 1), 0.0)


def _lowest(scores: Doubles, labels: Bools, policy: TierPolicy) -> tuple[float | None, str]:
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    # A threshold takes all rows of one score or none.
    ends = np.flatnonzero(np.append(falling[1:] < falling[:-1], True)) if len(falling) else np.empty(0, dtype=np.int64)
    hits = np.cumsum(labels[order], dtype=np.int64)[ends]
    of = ends + 1
    bounds = lower_bound(hits, of)
    reachable = falling[ends] >= policy.at_least
    good = np.flatnonzero(reachable & (bounds >= policy.precision))
    if len(good):
        i = int(good[-1])
        return float(falling[ends[i]]), (
            f"{hits[i]} of {of[i]} held-out rows from here up violate; with 95% confidence the precision is at least "
            f"{bounds[i]:.3f}, the target is {policy.precision:g}."
        )
    if not reachable.any():
        return None, f"No held-out row scores {policy.at_least:g} or more."
    best = int(np.argmax(np.where(reachable, bounds, -1)))
    return None, (
        f"No score supports a precision of {policy.precision:g} with 95% confidence; the best is at least "
        f"{bounds[best]:.3f}, with {hits[best]} of {of[best]} held-out rows from {falling[ends[best]]:.3f} up."
    )
