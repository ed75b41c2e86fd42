"""How much is missing of what usually comes in an hour: of a feed of events, or of predictions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads import clock
from leads.clock import Micros
from leads.estimates.counts import clumping, shortfall
from leads.estimates.intervals import Interval

Counts = npt.NDArray[np.float64]

# Nine days, so that a window of 24 hours has eight earlier ones to be compared with.
HISTORY_HOURS = 216
HISTORY: Micros = HISTORY_HOURS * clock.HOUR
# The chance that an hour counts as almost empty because of chance: 20 feeds have 175,000 hours a year.
_ALPHA = 1e-6
_LENGTHS = (1, 3, 6, 12, 24)
_DAYS = range(1, 9)
_FEWEST_DAYS = 3
# Where a complete stop would be found: `lo` without any event.
_FINDS_A_STOP = 0.92
# Batches whose distances vary by less than this share of their mean come by a schedule.
_REGULAR, _FEWEST_GAPS = 0.25, 5


class Missing(NamedTuple):
    """The share that is missing of the last `hours` hours, what was counted in them, and how it was found."""

    found: Interval
    hours: int
    n: float
    method: str


def missing(counts: Counts) -> Missing | None:
    """The share of the usual number that is missing at the end of the counts; None if what is usual isn't known.

    A feed that is active in most hours is compared with the same hours of the last eight days, in the shortest window
    in which a complete stop would be certain. One that comes in batches by a schedule misses a batch once nothing came
    for almost twice the longest pause. Other feeds have no expectation.

    Args:
        counts: (h,) of consecutive hours, the hour in question last; NaN where unknown.
    """
    before = counts[:-1]
    known = before[np.isfinite(before)]
    if not len(known) or not known.any():
        return None
    return _steady(counts) if (known > 0).mean() >= 0.5 else _scheduled(counts)


def _steady(counts: Counts) -> Missing | None:
    clumps, found = clumping(counts[:-1]), None
    for hours in _LENGTHS:
        window = counts[-hours:]
        ends = [len(counts) - 24 * day for day in _DAYS]
        usual = [counts[end - hours : end].sum() for end in ends if end >= hours]
        usual = [one for one in usual if np.isfinite(one)]
        if len(window) < hours or not np.isfinite(window).all() or len(usual) < _FEWEST_DAYS:
            break
        n = float(window.sum())
        share = shortfall(n, usual, clumps=clumps, alpha=_ALPHA)
        if np.isfinite(share.value):
            method = f"1 - n / median of the same hours of {len(usual)} days; Garwood, one-sided alpha {_ALPHA:g}"
            clipped = Interval(*(max(-1.0, x) for x in share))
            found = Missing(clipped, hours, n, f"{method}, variance x {clumps:g}")
            if shortfall(0, usual, clumps=clumps, alpha=_ALPHA).lo > _FINDS_A_STOP:
                break
    return found


def _scheduled(counts: Counts) -> Missing | None:
    active = np.flatnonzero(np.nan_to_num(counts) > 0)
    starts = active[np.append(True, np.diff(active) > 1)]
    gaps = np.diff(starts)
    if len(gaps) < _FEWEST_GAPS or gaps.std() > _REGULAR * gaps.mean():
        return None
    quiet, longest = len(counts) - 1 - int(active[-1]), int(gaps.max())
    share = float(np.clip(quiet / longest - 1, 0, 1))
    method = f"hours without a batch / the longest of {len(gaps)} pauses - 1"
    return Missing(Interval(share, share, share), max(1, quiet), float(counts[-max(1, quiet) :].sum()), method)
