"""When a share that was seen can't be chance any more: a bound for small numbers that may be looked at repeatedly."""

from __future__ import annotations

import math

# The chance to pass a limit wrongly in one window, for what sits exactly at it; far below it there is next to none.
ALPHA = 1e-4
_LOOKS = 12


def surely_above(mean: float, n: int, limit: float, alpha: float) -> bool:
    """Whether the expectation of n independent values in [0, 1] with this mean lies above `limit`, wrong with chance
    `alpha` at most: exp(-n KL(mean, limit)), Hoeffding 1963, theorem 1; for shares the Chernoff bound.

    >>> surely_above(0.5, 10, 0.01, 1e-5), surely_above(0.11, 1_000, 0.1, 1e-5)
    (True, False)
    """
    if n == 0 or mean <= limit:
        return False
    hit = mean * math.log(mean / limit)
    miss = (1 - mean) * math.log((1 - mean) / (1 - limit)) if mean < 1 else 0.0
    return n * (hit + miss) >= -math.log(alpha)


class Evidence:
    """Values in [0, 1] against a limit for their mean. It is looked at whenever their number has doubled.

    After `_LOOKS` doublings it starts anew, so that what goes wrong late isn't outweighed by what went well before.
    Not thread-safe.

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
        """Of everything ever added; NaN before anything was."""
        return self.total / self.n if self.n else math.nan

    @property
    def seen(self) -> tuple[float, int]:
        """Mean and number in the present window."""
        return (self._sum / self._n if self._n else math.nan), self._n

    def add(self, n: int, total: float) -> bool:
        """Take n values with this sum; returns whether their mean is now surely above the limit."""
        self.n, self.total = self.n + n, self.total + total
        self._n, self._sum = self._n + n, self._sum + total
        if self._n < self._next:
            return False
        if surely_above(self._sum / self._n, self._n, self._limit, ALPHA / self._looks):
            return True
        self._next = 2 * self._n
        if self._n >= self._first << (self._looks - 1):
            self._n, self._sum, self._next = 0, 0.0, self._first
        return False
