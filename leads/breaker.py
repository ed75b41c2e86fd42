"""A circuit breaker: after failures, calls fail at once for a while; then a single probe tests for recovery.

closed ──3 failures in a row, or half of the last 20──▶ open ──cool-down over──▶ half-open: one probe
   ▲                                                     ▲                            │
   └───────────────────── success ───────────────────────┼──── failure: twice as long ─┘
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable

from leads.errors import Unavailable

IN_A_ROW = 3
WINDOW = 20
FAILED_OF_WINDOW = 10
FIRST_S = 0.5
MAX_S = 10.0
_log = logging.getLogger(__name__)


class Breaker:
    """Thread-safe. Every call gets a ticket from `enter` and reports its result once; outdated tickets are ignored.

    Args:
        what: what is called, as named in errors and the log, for example `The online store`.
        remedy: what the reader of the error can do.
        first_s, max_s: cool-down after opening, in seconds, and the limit up to which each failed probe doubles it. A
            random part of up to a quarter is cut off, so that processes don't probe in step.

    >>> breaker = Breaker("The store", remedy="Check that it runs.")
    >>> for _ in range(IN_A_ROW):
    ...     breaker.failed(breaker.enter())
    >>> breaker.open
    True
    """

    def __init__(
        self,
        what: str,
        *,
        remedy: str,
        first_s: float = FIRST_S,
        max_s: float = MAX_S,
        timer: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._what = what
        self._remedy = remedy
        self._first_s = first_s
        self._max_s = max_s
        self._timer = timer
        self._chance = chance
        self._lock = threading.Lock()
        self._open = False
        self._probing = False
        self._until = 0.0
        self._cool_down_s = first_s
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        # Incremented at each change of state: results of calls that began before the change are ignored.
        self._era = 0
        self._short_circuited = 0

    @property
    def open(self) -> bool:
        """Whether calls fail at once, except for an occasional probe."""
        return self._open

    @property
    def wants_probe(self) -> bool:
        """Whether the next call would be the probe: the cool-down is over, and no other call is the probe."""
        return self._open and not self._probing and self._timer() >= self._until

    @property
    def short_circuited(self) -> int:
        """The number of calls that failed at once."""
        return self._short_circuited

    def enter(self) -> int:
        """Ask to make a call; returns a ticket to report its result with.

        Raises:
            Unavailable: the breaker is open, and the cool-down isn't over or another call is the probe.
        """
        if not self._open:
            return self._era
        with self._lock:
            if not self._open:
                return self._era
            if not self._probing and self._timer() >= self._until:
                self._probing = True
                self._era += 1
                return self._era
            self._short_circuited += 1
        raise Unavailable(f"{self._what} failed recently; calls to it are paused.", remedy=self._remedy)

    def succeeded(self, ticket: int) -> None:
        """Report that the call succeeded."""
        if not self._recent and not self._open:
            return
        with self._lock:
            if ticket != self._era:
                return
            self._in_a_row = 0
            if self._open:
                self._close()
            elif self._recent:
                self._recent.append(False)
                if not any(self._recent):
                    self._recent.clear()

    def failed(self, ticket: int, why: str = "no response") -> None:
        """Report that the call failed or timed out; `why` is logged."""
        with self._lock:
            if ticket != self._era:
                return
            if self._open:
                self._cool_down_s = min(2 * self._cool_down_s, self._max_s)
                self._cool_down()
                return
            self._in_a_row += 1
            self._recent.append(True)
            if self._in_a_row >= IN_A_ROW or sum(self._recent) >= FAILED_OF_WINDOW:
                self._open = True
                self._cool_down()
                _log.warning("%s is not responding; calls to it are paused: %s", self._what, why)

    def _cool_down(self) -> None:
        self._era += 1
        self._probing = False
        self._until = self._timer() + self._cool_down_s * (1 - self._chance() / 4)

    def _close(self) -> None:
        self._era += 1
        self._open = self._probing = False
        self._cool_down_s = self._first_s
        self._recent.clear()
        _log.warning("%s is responding again", self._what)
