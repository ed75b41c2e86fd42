"""Keeps ranks and counts of leads right in the background: what a changed policy or an older release leaves behind."""

from __future__ import annotations

import logging
import time

from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Clock
from leads.db.engine import reading
from leads.policies import QueuePolicy
from serving.queue import ranks, states

# How long a step may take: the worker has other work.
_BUDGET_S = 0.2
# An older release that runs beside this one doesn't keep the counts.
_RECONCILE_S = 3_600.0
_log = logging.getLogger(__name__)


class Upkeep:
    """The upkeep of the queue. Many processes may do it at once; one is enough.

    Every batch is a transaction of its own that records how far it has come, so it can be killed at any time.
    """

    def __init__(self, engine: Engine, queue: QueuePolicy, *, clock_: Clock = clock.now) -> None:
        self._engine = engine
        self._aging_hours = queue.aging_hours
        self._clock = clock_
        self._next_reconciling = 0.0

    def step(self) -> bool:
        """Reconcile the counts once an hour, and rank leads for a moment. Returns whether more is left."""
        if time.monotonic() >= self._next_reconciling:
            self._reconcile()
            self._next_reconciling = time.monotonic() + _RECONCILE_S
        self._adopt()
        until = time.monotonic() + _BUDGET_S
        while left := self._rank_batch():
            if time.monotonic() >= until:
                break
        return left

    def finish(self) -> None:
        """Do everything that is left."""
        while self.step():
            pass

    def _adopt(self) -> None:
        with reading(self._engine) as connection:
            if ranks.current(connection).aging_hours == self._aging_hours:
                return
        with self._engine.begin() as connection:
            if ranks.adopt(connection, self._aging_hours, self._clock()):
                _log.info("ranking all leads again, because queue.aging_hours is now %g", self._aging_hours)

    def _rank_batch(self) -> bool:
        """Rank one batch of leads; returns False if there was none to rank."""
        with reading(self._engine) as connection:
            again = ranks.ranks_again(connection)
            if not again and not ranks.any_stale(connection):
                return False
        with self._engine.begin() as connection:
            if again:
                ranks.rank_again(connection)
            else:
                ranks.rank_stale(connection)
        return True

    def _reconcile(self) -> None:
        corrected = states.reconcile(self._engine)
        if corrected:
            _log.info("corrected %d counts of leads that an older release had not kept", corrected)
