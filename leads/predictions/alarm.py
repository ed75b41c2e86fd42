"""The alarm of the prediction log: reports lost predictions, at most once a minute."""

from __future__ import annotations

import logging
import time

from leads import clock
from leads.clock import Micros

logger = logging.getLogger(__name__)

EVERY_S = 60.0


class LossAlarm:
    """Logs at ERROR, at most every `every_s`, that predictions are lost or can't be written, and once when that ends.

    Not thread-safe: only the log's own thread uses it.
    """

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._next = time.monotonic()
        self._since: Micros | None = None
        self._before = 0
        self._seen = 0
        self._reported: int | None = None
        self._why = ""

    def update(self, dropped: int, waiting: int, *, failed: bool, why: str, last: bool = False) -> None:
        """Compare with the previous call, and log if something changed.

        Args:
            dropped: predictions lost since the process started; `waiting`: those not yet written.
            failed: whether the last write failed.
            why: the reason and what to do, in case something is wrong.
            last: whether this is the last call, so that everything unreported is logged now.
        """
        in_trouble = failed or dropped > self._seen
        if in_trouble and self._since is None:
            self._since, self._before, self._reported = clock.now(), self._seen, None
        if in_trouble:
            self._why = why
        self._seen = dropped
        if self._since is None:
            return
        since = clock.to_text(self._since)[:19] + "Z"
        unreported = dropped > (self._before if self._reported is None else self._reported)
        if (in_trouble or unreported) and (last or time.monotonic() >= self._next):
            self._next = time.monotonic() + self._every_s
            self._reported = dropped
            lost = dropped - self._before
            logger.error("prediction log: %d predictions lost since %s, %d wait: %s", lost, since, waiting, self._why)
        elif not in_trouble and not unreported:
            if self._reported is not None:
                lost = dropped - self._before
                logger.warning("prediction log: writing again; %d predictions were lost since %s", lost, since)
            self._since = None
