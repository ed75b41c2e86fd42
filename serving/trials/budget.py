"""How much time background work may take from what answers."""

from __future__ import annotations

from collections.abc import Callable

# After an idle time so many seconds may be spent at once.
_BURST_S = 0.2


class Budget:
    """Time that may be spent: `share` of what passes, and `_BURST_S` ahead. Not thread-safe.

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
        self._earn()
        self._left -= seconds

    def wait_s(self) -> float:
        """Seconds until there is something to spend."""
        self._earn()
        return max(0.0, -self._left / self._share)

    def _earn(self) -> None:
        now = self._timer()
        self._left = min(_BURST_S, self._left + (now - self._at) * self._share)
        self._at = now
