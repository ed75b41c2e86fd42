"""One connection for each thread that scores, kept open: taking one from the pool costs more than looking up a text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from weakref import WeakMethod, WeakSet

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.errors import Unavailable

T = TypeVar("T")

# A connection that was dropped while it was idle fails at once; one that fails later has waited for the server.
_AT_ONCE_S = 0.1


class KeptConnections:
    """For single statements that read: there are no transactions. Thread-safe.

    The pool doesn't check these connections before they are used. If one turns out to be dropped, a new one is opened.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._local = threading.local()
        self._open: WeakSet[Connection] = WeakSet()
        # Weak, so that the engine doesn't keep connections that nothing else needs any more.
        close_all = WeakMethod(self._close_all)
        sa.event.listen(engine, "engine_disposed", lambda _engine: (close_all() or _nothing)())

    def read(self, work: Callable[[Connection], T]) -> T:
        """Do work with this thread's connection.

        Raises:
            Unavailable: the database does not respond.
        """
        kept: Connection | None = getattr(self._local, "connection", None)
        if kept is not None and not kept.closed:
            began = time.monotonic()
            try:
                return self._read(kept, work)
            except Unavailable:
                if time.monotonic() - began > _AT_ONCE_S:
                    raise
        self._local.connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._open.add(self._local.connection)
        return self._read(self._local.connection, work)

    def _read(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        try:
            found = work(connection)
            # Asks nothing of the server: it only ends what SQLAlchemy takes for a transaction.
            connection.rollback()
        except BaseException:
            self._local.connection = None
            _close(connection)
            raise
        return found

    def _close_all(self) -> None:
        for connection in list(self._open):
            _close(connection)


def _close(connection: Connection) -> None:
    """Close it for good, rather than return it to the pool."""
    with suppress(Unavailable, sa.exc.SQLAlchemyError):
        if not connection.closed:
            connection.invalidate()
            connection.close()


def _nothing() -> None: ...
