"""Limits the time that background work takes away from requests."""

from __future__ import annotations

from collections.abc import Callable

# Seconds that may be spent at once after an idle period.
_BURST_S = 0.2


class Budget:
    """A token bucket of seconds: it fills at `share` of elapsed time, up to `_BURST_S`. Not thread-safe.

    >>> now = [0.0]
    >>> budget = Budget(0.1, timer=lambda: now[0])
    >>> budget.spend(0.5)
    >>> round(budget.wait_s(), 3)
    3.0
    >>> now[0] = 3.0
    >>> round(budget.wait_s(), 3)
    0.0
    """

    def __init__(self, share: float, *, timer: Callable[[], float]) -> None:
        self._share = share
        self._timer = timer
        self._left, self._at = _BURST_S, timer()

    def spend(self, seconds: float) -> None:
        """Charge work that was done. The balance may become negative."""
        self._earn()
        self._left -= seconds

    def wait_s(self) -> float:
        """Seconds until work may start; 0 if it may start now."""
        self._earn()
        return max(0.0, -self._left / self._share)

    def _earn(self) -> None:
        now = self._timer()
        self._left = min(_BURST_S, self._left + (now - self._at) * self._share)
        self._at = now
