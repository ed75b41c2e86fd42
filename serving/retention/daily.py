"""Deletes old data once a day, by itself: those of a home in its follower, those that all hosts share in one of them.

What was done is in `retention.json` in the home, from which the API processes take their metrics.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

from leads import clock
from leads.background import repeating
from leads.clock import Clock, Micros
from leads.db.engine import has_tables, open_engine
from leads.errors import Conflict, LeadsError
from leads.files import write_json
from leads.retention.database import take_turn
from leads.retention.kinds import BY_NAME, KINDS, PRUNED
from leads.retention.removal import Pruned
from leads.retention.usage import home_usage
from leads.settings import Settings
from serving.retention.prune import prune_undisturbed, undisturbed
from serving.retention.report import FILE, Report, read_report

# The first look is this long after the start, when the service has other things to do.
_LOOK_S = 600.0
_EVERY: Micros = clock.DAY
_log = logging.getLogger(__name__)


class Daily:
    """Deletes old data when a day has passed since the last time. Not thread-safe."""

    def __init__(self, settings: Settings, *, clock_: Clock = clock.now) -> None:
        self._settings = settings
        self._clock = clock_

    def step(self) -> int:
        """Delete old data if it is time; returns 0, for `repeating`."""
        now = self._clock()
        if now - read_report(self._settings.root).at < _EVERY:
            return 0
        kinds = [name for name in PRUNED if BY_NAME[name].where == "home"]
        try:
            with undisturbed(self._settings):
                # Only now: whoever takes the turn has to use it.
                if self._is_our_turn(now):
                    kinds += [name for name in PRUNED if BY_NAME[name].where != "home"]
                done = prune_undisturbed(self._settings, kinds, clock_=self._clock)
        except Conflict:
            # `leads prune` or `leads backup` is running.
            return 0
        self._log(done)
        # Kinds of which nothing is left are there too, so that their metric becomes 0.
        stored = {kind.name: 0 for kind in KINDS if kind.where != "database"}
        stored |= {kind: one.size or 0 for kind, one in home_usage(self._settings).items()}
        deleted = {one.kind: one.size for one in done if one.size is not None}
        failed = tuple(one.kind for one in done if one.trouble)
        write_json(self._settings.root / FILE, Report(now, deleted, stored, failed))
        return 0

    def _is_our_turn(self, now: Micros) -> bool:
        """Whether no other host has deleted what all share in the last day. While the database is down, nobody does."""
        try:
            if not has_tables(self._settings):
                return False
            engine = open_engine(self._settings, create=False)
            try:
                return take_turn(engine, now, _EVERY)
            finally:
                engine.dispose()
        except LeadsError as error:
            _log.warning("could not delete old rows and versions, and will try again tomorrow: %s", error)
            return False

    def _log(self, done: list[Pruned]) -> None:
        for one in done:
            if one.trouble:
                _log.warning("could not delete all old data of the kind %s: %s", one.kind, one.trouble)
            if one.items:
                size = "" if one.size is None else f", {one.size:,} bytes"
                _log.info("deleted old data of the kind %s: %s%s", one.kind, f"{one.items:,}", size)


def pruning_daily(settings: Settings) -> AbstractContextManager[None]:
    """While this is open, delete old data once a day from a thread of its own."""
    return repeating(Daily(settings).step, every_s=_LOOK_S, name="deleting old data")
