"""A circuit breaker: after failures, calls fail at once for a while, then one probe shows whether it is over.

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
MOST_S = 10.0
_log = logging.getLogger(__name__)


class Breaker:
    """Thread-safe. Each call enters and reports back once, with the ticket it got; late reports change nothing.

    Args:
        what: what is called, as errors and the log name it: `The online feature store`.
        remedy: what the reader of the error can do.
        first_s, most_s: cool-down after opening and, doubled with each failed probe, at most. Shortened by up to a
            quarter by chance, so that processes don't probe in step.

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
        most_s: float = MOST_S,
        timer: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._what = what
        self._remedy = remedy
        self._first_s = first_s
        self._most_s = most_s
        self._timer = timer
        self._chance = chance
        self._lock = threading.Lock()
        self._open = False
        self._probing = False
        self._until = 0.0
        self._cool_down_s = first_s
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        # Calls that began before the state changed say nothing about the state after.
        self._era = 0
        self._short_circuited = 0

    @property
    def open(self) -> bool:
        """Whether calls fail at once, but for a probe now and then."""
        return self._open

    @property
    def short_circuited(self) -> int:
        """How many calls failed at once."""
        return self._short_circuited

    def enter(self) -> int:
        """A ticket to call and to report with.

        Raises:
            Unavailable: the breaker is open, and another call probes or the cool-down isn't over.
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
        raise Unavailable(f"{self._what} has failed lately and isn't asked for a moment.", remedy=self._remedy)

    def succeeded(self, ticket: int) -> None:
        """The call was answered."""
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

    def failed(self, ticket: int, why: str = "no answer") -> None:
        """The call was not answered, or too late; `why` is for the log."""
        with self._lock:
            if ticket != self._era:
                return
            if self._open:
                self._cool_down_s = min(2 * self._cool_down_s, self._most_s)
                self._cool_down()
                return
            self._in_a_row += 1
            self._recent.append(True)
            if self._in_a_row >= IN_A_ROW or sum(self._recent) >= FAILED_OF_WINDOW:
                self._open = True
                self._cool_down()
                _log.warning("%s doesn't answer and is asked only now and then: %s", self._what, why)

    def _cool_down(self) -> None:
        self._era += 1
        self._probing = False
        self._until = self._timer() + self._cool_down_s * (1 - self._chance() / 4)

    def _close(self) -> None:
        self._era += 1
        self._open = self._probing = False
        self._cool_down_s = self._first_s
        self._recent.clear()
        _log.warning("%s answers again", self._what)
