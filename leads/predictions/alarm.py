"""The alarm of the prediction log: loud, but no more often than it helps."""

from __future__ import annotations

import logging
import time

from leads import clock
from leads.clock import Micros

logger = logging.getLogger(__name__)

EVERY_S = 60.0


class LossAlarm:
    """Says at ERROR, at most every `every_s`, that predictions are lost or can't be written, and once that it is over.

    Not thread-safe: the log's own thread looks.
    """

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._next = time.monotonic()
        self._since: Micros | None = None
        self._before = 0
        self._seen = 0
        self._told: int | None = None
        self._why = ""

    def look(self, dropped: int, waiting: int, *, failed: bool, why: str, last: bool = False) -> None:
        """Compare with the look before.

        Args:
            dropped: predictions that were lost since the process began; `waiting`: those not yet written.
            failed: whether the last attempt to write did.
            why: the reason and what to do, in case something is wrong.
            last: no look follows, so that what wasn't said yet is said now.
        """
        troubled = failed or dropped > self._seen
        if troubled and self._since is None:
            self._since, self._before, self._told = clock.now(), self._seen, None
        if troubled:
            self._why = why
        self._seen = dropped
        if self._since is None:
            return
        since = clock.to_text(self._since)[:19] + "Z"
        untold = dropped > (self._before if self._told is None else self._told)
        if (troubled or untold) and (last or time.monotonic() >= self._next):
            self._next = time.monotonic() + self._every_s
            self._told = dropped
            lost = dropped - self._before
            logger.error("prediction log: %d predictions lost since %s, %d wait: %s", lost, since, waiting, self._why)
        elif not troubled and not untold:
            if self._told is not None:
                lost = dropped - self._before
                logger.warning("prediction log: written again; %d predictions were lost since %s", lost, since)
            self._since = None
