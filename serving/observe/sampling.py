"""Which successful requests the access log has a line for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Sampler:
    """Lets at most `rate` requests a second through, and counts the others. Not thread-safe.

    Args:
        rate: a second; 0: none.
        timer: monotonic seconds.

    >>> at = iter([0.0, 0.0, 0.0, 0.5, 0.5])
    >>> sampler = Sampler(2, timer=lambda: next(at))
    >>> [sampler.take() for _ in range(5)]
    [0, 0, None, 1, None]
    """

    def __init__(self, rate: float, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._timer = timer
        # Below one, a request now and then still gets through.
        self._most = max(1.0, rate) if rate else 0.0
        self._left = self._most
        self._at = -math.inf
        self._skipped = 0

    def take(self) -> int | None:
        """How many requests were left out since the last one that got through; None if this one is left out too."""
        now = self._timer()
        if self._rate:
            self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            self._skipped += 1
            return None
        self._left -= 1.0
        skipped, self._skipped = self._skipped, 0
        return skipped
