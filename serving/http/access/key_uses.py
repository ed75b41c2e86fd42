"""Records in the database when keys were last used, and each request that needed the scope `admin`."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Clock, Micros
from leads.db.access.uses import AdminUse, note_used, record_admin
from leads.errors import Unavailable

# A process records a key's last use this often, and looks that often whether it has to.
EVERY_S = 60.0
_LOOK_S = 5.0
# Uses of `admin` that wait while the database is down. Further requests that need it are refused.
MAX_WAITING = 10_000
_BATCH = 500
_RETRY_S = 1.0
_CLOSE_S = 2.0
_log = logging.getLogger(__name__)


class KeyUses:
    """Collects what a process has to record about its keys; a thread writes it.

    `note` and `record` never wait for the database. While it is down, what they collect is kept in memory, and the
    thread tries again every second.
    """

    def __init__(
        self, engine: Engine, *, clock_: Clock = clock.now, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._clock = clock_
        self._timer = timer
        self._used: dict[str, Micros] = {}
        # By key: the time that was recorded, and when, by the timer.
        self._recorded: dict[str, tuple[Micros, float]] = {}
        self._waiting: deque[tuple[AdminUse, Future[None]]] = deque()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, key_id: str) -> None:
        """Note that a key is used now."""
        self._used[key_id] = self._clock()

    def check(self) -> None:
        """Check that another use of `admin` can be recorded.

        Raises:
            Unavailable: too many wait for the database.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable(
                "Uses of the scope admin can't be recorded, because the database does not respond.",
                remedy="Use a key with the scope that the request needs, or try again later.",
            )

    def record(self, use: AdminUse) -> Future[None] | None:
        """Have a use of `admin` recorded. Returns what is done once it is stored; None if no thread is running."""
        stored: Future[None] = Future()
        # A request that ends early must not cancel it.
        stored.set_running_or_notify_cancel()
        self._waiting.append((use, stored))
        self._wake.set()
        return stored if self._thread is not None else None

    def start(self) -> None:
        """Start the thread that writes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="key-uses", daemon=True)
            self._thread.start()

    def write(self, *, all_keys: bool = False) -> None:
        """Write the uses of `admin` that wait, and the last uses that are due.

        Args:
            all_keys: also last uses of keys that were recorded less than a minute ago.

        Raises:
            Unavailable: the database can't be written to. Nothing is lost.
        """
        now = self._timer()
        while True:
            # Only this method removes any.
            waiting = [self._waiting[i] for i in range(min(len(self._waiting), _BATCH))]
            used = self._due(now, all_keys)
            if not waiting and not used:
                return
            with self._engine.begin() as connection:
                record_admin(connection, [use for use, _ in waiting])
                note_used(connection, used)
            self._recorded |= {id_: (at, now) for id_, at in used.items()}
            for _, stored in waiting:
                self._waiting.popleft()
                stored.set_result(None)

    def close(self) -> None:
        """Stop the thread, after a last attempt to write. A locked database doesn't hold up the shutdown."""
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _due(self, now: float, all_keys: bool) -> dict[str, Micros]:
        due = {}
        # A copy: the event loop adds keys meanwhile.
        for id_, at in self._used.copy().items():
            recorded, when = self._recorded.get(id_, (0, -EVERY_S))
            if at > recorded and (all_keys or now - when >= EVERY_S):
                due[id_] = at
        return due

    def _run(self) -> None:
        failing = ended = False
        while not ended:
            self._wake.wait(_RETRY_S if failing else _LOOK_S)
            self._wake.clear()
            # Before the write: what was collected before `close` is written.
            ended = self._ended.is_set()
            try:
                self.write(all_keys=ended)
                failing = False
            except (Unavailable, sa.exc.SQLAlchemyError) as error:
                if not failing:
                    _log.warning("can't record the use of keys, trying again: %s", error)
                failing = True
                self._ended.wait(_RETRY_S)
