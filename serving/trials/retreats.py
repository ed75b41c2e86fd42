"""Canaries that retreated: this process's own immediately, those of other processes through the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Clock
from leads.db import canary_retreats
from leads.db.canary_retreats import Retreat
from leads.db.engine import reading
from leads.errors import Unavailable
from leads.predictions.segments import host

Key = tuple[str, str]
_log = logging.getLogger(__name__)


class Retreats:
    """Thread-safe. `retreat` never waits for the database. `refresh` does, so it is called in the background.

    Args:
        engine: of the database that stores retreats for all processes.
    """

    def __init__(self, engine: Engine, *, clock_: Clock = clock.now) -> None:
        self._engine = engine
        self._clock = clock_
        self._lock = threading.Lock()
        self._waiting: dict[Key, Retreat] = {}
        self._standing: Mapping[Key, Retreat] = MappingProxyType({})
        self._listeners: list[Callable[[], None]] = []
        self._known = self._failing = False

    @property
    def standing(self) -> Mapping[Key, Retreat]:
        """The retreats in force, by harm and version."""
        return self._standing

    @property
    def known(self) -> bool:
        """Whether the database was read at least once. Until then no canary may answer: it may have retreated."""
        return self._known

    @property
    def waiting(self) -> bool:
        """Whether a retreat of this process still has to be written to the database."""
        return bool(self._waiting)

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change. It must not block."""
        self._listeners.append(changed)

    def retreat(self, harm: str, version: str, why: str) -> None:
        """Stop using the version as a canary in this process. The next `refresh` informs the other processes.

        Args:
            why: the reason, one sentence for operators.
        """
        with self._lock:
            if (harm, version) in self._standing:
                return
            made = Retreat(self._clock(), harm, version, why, host())
            self._waiting[harm, version] = made
            self._standing = MappingProxyType({**self._standing, (harm, version): made})
        _log.warning("canary %s version %s retreats: %s", harm, version, why)
        self._notify()

    def refresh(self) -> bool:
        """Write this process's new retreats and read all of them; returns whether anything changed.

        If the database is down, this logs a warning once and keeps the known retreats.
        """
        try:
            self._write()
            with reading(self._engine) as connection:
                found = canary_retreats.standing(connection)
        except (Unavailable, sa.exc.SQLAlchemyError) as error:
            if not self._failing:
                _log.warning("can't read retreats, keeping the known ones: %s", type(error).__name__)
            self._failing = True
            return False
        self._failing = False
        with self._lock:
            after = {**found, **self._waiting}
            changed = not self._known or after != dict(self._standing)
            self._known, self._standing = True, MappingProxyType(after)
        if changed:
            self._notify()
        return changed

    def _write(self) -> None:
        with self._lock:
            waiting = dict(self._waiting)
        if not waiting:
            return
        with self._engine.begin() as connection:
            for one in waiting.values():
                canary_retreats.record(connection, one)
        with self._lock:
            for key in waiting:
                del self._waiting[key]

    def _notify(self) -> None:
        for changed in self._listeners:
            changed()
