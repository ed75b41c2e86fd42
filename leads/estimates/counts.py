"""Counts of what happens in an hour: how noisy they are, and how far below what is usual one surely is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leads.estimates.intervals import Interval

Counts = npt.NDArray[np.float64]


def clumping(hourly: Counts) -> float:
    """How many times the variance of hourly counts is that of independent events (Poisson's is 1); at least 1.

    Each hour is compared with the mean of its neighbours, so that neither the rhythm of the day nor a trend counts.

    Args:
        hourly: (n,) counts of consecutive hours; NaN where unknown.

    >>> clumping(np.array([100.0, 110, 90, 105, 95, 100])), clumping(np.array([0.0, 900, 0, 0, 900, 0])) > 100
    (1.2, True)
    """
    middle, around = hourly[1:-1], (hourly[:-2] + hourly[2:]) / 2
    known = np.isfinite(middle) & np.isfinite(around) & (middle + around > 0)
    if not known.any():
        return 1.0
    # The variance of x − (y + z)/2 is 3/2 of that of one count, whose mean all three estimate.
    expected = 1.5 * (middle[known] + 2 * around[known]) / 3
    return max(1.0, round(float(((middle[known] - around[known]) ** 2).sum() / expected.sum()), 1))


def shortfall(n: float, usual: Sequence[float], *, clumps: float, alpha: float) -> Interval:
    """The share of the usual number that is missing.

    Args:
        n: what was counted.
        usual: at least three counts of comparable periods. Their median is what is expected. The bounds assume as
            little as their second lowest (of fewer than five, the lowest), or as much as their highest.
        clumps: from `clumping`.
        alpha: the chance that the true share is below the lower bound because of chance in n alone.

    Returns:
        1 − n / expected; negative where there is more than usual; NaN if nothing is expected.

    >>> shortfall(0, [500, 520, 480, 510, 90], clumps=1, alpha=1e-6).lo > 0.9
    True
    >>> shortfall(0, [5, 4, 6], clumps=1, alpha=1e-6).lo < 0
    True
    """
    from scipy.stats import chi2

    ordered = sorted(usual)
    expected, low = float(np.median(ordered)), ordered[1 if len(ordered) >= 5 else 0]
    if expected <= 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    # Exact bounds of a Poisson mean (Garwood, Biometrika 28, 1936), of counts divided by the size of clumps.
    most = float(chi2.ppf(1 - alpha, 2 * (n / clumps + 1))) / 2 * clumps
    least = float(chi2.ppf(alpha, 2 * n / clumps)) / 2 * clumps if n else 0.0
    return Interval(1 - n / expected, 1 - most / low if low > 0 else float("-inf"), 1 - least / ordered[-1])
