"""A lock among all hosts that share a PostgreSQL database.

It is an advisory lock of a session, so it ends with the process, or with its host: the server notices within half a
minute that a host is gone. SQLite databases belong to one host, where locks on files suffice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.db.engine import database_url, unchecked_engine
from leads.errors import Unavailable
from leads.settings import Settings

# How often the session is checked, in seconds.
_CHECK_S = 1.0
_KEEPALIVES = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
_LOCK = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")


class NamedLock:
    """A name that at most one process holds. On SQLite, every process does. Not thread-safe.

    Args:
        timer: monotonic seconds.
    """

    def __init__(self, settings: Settings, name: str, *, timer: Callable[[], float] = time.monotonic) -> None:
        on_server = database_url(settings).get_backend_name() == "postgresql"
        self._engine = unchecked_engine(settings, timeout_s=settings.database_timeout_s) if on_server else None
        self._name = name
        self._timer = timer
        self._check_at = 0.0
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Take the name if nobody else has it.

        Raises:
            Unavailable: the database doesn't respond.
        """
        if self._engine is None:
            return True
        self._disconnect()
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._connection = connection
        for name, value in _KEEPALIVES.items():
            connection.execute(sa.func.set_config(name, value, False).select())
        if connection.execute(_LOCK, {"name": self._name}).scalar():
            self._check_at = self._timer() + _CHECK_S
            return True
        self._disconnect()
        return False

    def held(self) -> bool:
        """Whether this process still has the name. Asks the database at most once a second.

        If the session has ended, for example because the server was restarted, this takes the name again. While the
        database doesn't respond, nobody else can take it.
        """
        if self._connection is None or self._timer() < self._check_at:
            return True
        self._check_at = self._timer() + _CHECK_S
        try:
            self._connection.execute(sa.text("SELECT 1"))
        except Unavailable:
            with suppress(Unavailable):
                return self.acquire()
        return True

    def close(self) -> None:
        """Give the name back."""
        self._disconnect()
        if self._engine is not None:
            self._engine.dispose()

    def _disconnect(self) -> None:
        if self._connection is not None:
            # Not back to the pool, where the session would keep the lock.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
