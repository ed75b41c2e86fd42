"""Tests whether an observed mean is significantly above a limit, also for small samples and repeated looks."""

from __future__ import annotations

import math

# False-positive rate per window for a true mean exactly at the limit. Well below the limit it is close to zero.
ALPHA = 1e-4
_LOOKS = 12


def significantly_above(mean: float, n: int, limit: float, alpha: float) -> bool:
    """Whether the expectation of n independent values in [0, 1] with this sample mean is above `limit`.

    The false-positive rate is at most `alpha`, by the bound exp(-n KL(mean, limit)): Hoeffding 1963, theorem 1; for
    shares it is the Chernoff bound.

    >>> significantly_above(0.5, 10, 0.01, 1e-5), significantly_above(0.11, 1_000, 0.1, 1e-5)
    (True, False)
    """
    if n == 0 or mean <= limit:
        return False
    hit = mean * math.log(mean / limit)
    miss = (1 - mean) * math.log((1 - mean) / (1 - limit)) if mean < 1 else 0.0
    return n * (hit + miss) >= -math.log(alpha)


class Evidence:
    """Tests the mean of values in [0, 1] against a limit, each time the number of values has doubled.

    After `looks` doublings a new window starts, so that a late failure isn't outweighed by earlier success. Not
    thread-safe.

    Args:
        limit: for the mean, in (0, 1).
        first: number of values at the first look.
        looks: looks per window, which share the false-positive rate `ALPHA` (Bonferroni).

    >>> failed = Evidence(0.01, first=1)
    >>> [failed.add(1, 1.0) for _ in range(4)]
    [False, False, False, True]
    """

    def __init__(self, limit: float, *, first: int, looks: int = _LOOKS) -> None:
        self._limit = limit
        self._first = first
        self._looks = looks
        self._n, self._sum, self._next = 0, 0.0, first
        self.n, self.total = 0, 0.0

    @property
    def mean(self) -> float:
        """Mean of all values ever added; NaN if there are none."""
        return self.total / self.n if self.n else math.nan

    @property
    def seen(self) -> tuple[float, int]:
        """Mean and number of the values in the current window."""
        return (self._sum / self._n if self._n else math.nan), self._n

    def add(self, n: int, total: float) -> bool:
        """Add n values with this sum; returns whether the window's mean is now significantly above the limit."""
        self.n, self.total = self.n + n, self.total + total
        self._n, self._sum = self._n + n, self._sum + total
        if self._n < self._next:
            return False
        if significantly_above(self._sum / self._n, self._n, self._limit, ALPHA / self._looks):
            return True
        self._next = 2 * self._n
        if self._n >= self._first << (self._looks - 1):
            self._n, self._sum, self._next = 0, 0.0, self._first
        return False
