"""Intervals of proportions, and what is left of many p-values after correcting for their number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate with the bounds of its interval."""

    value: float
    lo: float
    hi: float


def clopper_pearson(hits: float, n: float, *, confidence: float = 0.95) -> Interval:
    """A proportion with its exact interval (Clopper and Pearson, Biometrika 26, 1934).

    Args:
        hits: out of n > 0 independent trials. For trials that aren't independent, both divided by their design effect
            (Korn and Graubard, Survey Methodology 24, 1998).

    >>> [round(x, 3) for x in clopper_pearson(8, 10)]
    [0.8, 0.444, 0.975]
    """
    from scipy.stats import beta

    if not 0 <= hits <= n or n <= 0:
        raise ValueError(f"{hits} hits in {n} trials")
    alpha = 1 - confidence
    lo = float(beta.ppf(alpha / 2, hits, n - hits + 1)) if hits else 0.0
    hi = float(beta.ppf(1 - alpha / 2, hits + 1, n - hits)) if hits < n else 1.0
    return Interval(hits / n, lo, hi)


def cohens_h(share: Values, of: Values) -> Values:
    """The absolute differences of proportions on the arcsine scale, where they are equally visible everywhere.

    0.2 is small, 0.5 medium and 0.8 large (Cohen, Statistical Power Analysis, 1988, chapter 6).

    Args:
        share, of: arrays of the same shape, or of shapes that fit each other; values beyond 0 and 1 count as these.

    >>> cohens_h(np.array([0.06, 0.52]), np.array([0.03, 0.49])).round(3).tolist()
    [0.147, 0.06]
    """
    angle, of_angle = (2 * np.arcsin(np.sqrt(np.clip(one, 0.0, 1.0))) for one in (share, of))
    found: Values = np.abs(angle - of_angle)
    return found


def benjamini_hochberg(p: Values, *, rate: float) -> npt.NDArray[np.bool_]:
    """Which hypotheses to reject so that at most `rate` of the rejected are true on average.

    Benjamini and Hochberg, Journal of the Royal Statistical Society B 57, 1995. NaN is never rejected.

    Args:
        p: (k,) p-values.

    >>> benjamini_hochberg(np.array([0.001, 0.02, 0.03, 0.9]), rate=0.05).tolist()
    [True, True, True, False]
    """
    known = np.isfinite(p)
    rejected = np.zeros(len(p), dtype=bool)
    order = np.argsort(p[known], kind="stable")
    k = len(order)
    below = np.flatnonzero(p[known][order] <= rate * np.arange(1, k + 1) / max(k, 1))
    if len(below):
        rejected[np.flatnonzero(known)[order[: below[-1] + 1]]] = True
    return rejected
