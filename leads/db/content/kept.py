"""Connections that scoring keeps open: taking one from the pool costs more than looking up a text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from weakref import WeakMethod, WeakSet

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.db.content.libpq import Late, Row, Statements
from leads.errors import Unavailable

T = TypeVar("T")

# A connection that was dropped while it was idle fails at once; one that fails later has waited for the server.
_AT_ONCE_S = 0.1
# A server that answered so often, each time so soon, is asked without a thread to wait for it.
_PROMPT_AFTER, _PROMPT_S = 50, 0.05


class KeptConnections:
    """For single statements that read: there are no transactions. Thread-safe.

    The pool doesn't check these connections before they are used. If one turns out to be dropped, a new one is opened.
    There are as many as were used at the same time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: list[_Kept] = []
        self._open: WeakSet[Connection] = WeakSet()
        self._answers = 0
        # Weak, so that the engine doesn't keep connections that nothing else needs any more.
        close_all = WeakMethod(self._close_all)
        sa.event.listen(engine, "engine_disposed", lambda _engine: (close_all() or _nothing)())

    @property
    def prompt(self) -> bool:
        """Whether there were 50 answers within 0.05 s since the start or the last failure."""
        return self._answers >= _PROMPT_AFTER

    def read(self, work: Callable[[Connection], T]) -> T:
        """Do work with a connection.

        Raises:
            Unavailable: the database does not respond.
        """
        kept = self._take_idle()
        if kept is not None:
            began = time.monotonic()
            try:
                return self._read(kept, work)
            except Unavailable:
                if time.monotonic() - began > _AT_ONCE_S:
                    raise
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._open.add(connection)
        return self._read(_Kept(connection), work)

    def ask(self, statement: str, parameters: Sequence[str | Sequence[str]]) -> Asked | None:
        """Send a statement, to read its rows later. Doesn't wait, except once while the statement is prepared.

        Only while answers are prompt; returns None otherwise, or if no open connection is idle.

        Args:
            statement: with parameters $1, $2, ….
            parameters: each a text, or texts for an array.
        """
        kept = self._take_idle() if self.prompt else None
        if kept is None:
            return None
        try:
            if kept.statements is None:
                kept.statements = Statements(kept.connection)
            kept.statements.send(statement, parameters, _PROMPT_S)
        except BaseException as error:
            self._failed(kept, error)
            return None
        return Asked(partial(self._rows, kept))

    def _take_idle(self) -> _Kept | None:
        while self._idle:
            with suppress(IndexError):
                kept = self._idle.pop()
                if not kept.connection.closed:
                    return kept
        return None

    def _read(self, kept: _Kept, work: Callable[[Connection], T]) -> T:
        began = time.monotonic()
        try:
            found = work(kept.connection)
            # Asks nothing of the server: it only ends what SQLAlchemy takes for a transaction.
            kept.connection.rollback()
        except BaseException:
            self._answers = 0
            _close(kept.connection)
            raise
        self._answered(kept, began)
        return found

    def _rows(self, kept: _Kept) -> list[Row] | None:
        began = time.monotonic()
        try:
            assert kept.statements is not None
            rows = kept.statements.rows(_PROMPT_S)
        except BaseException as error:
            self._failed(kept, error)
            return None
        self._answered(kept, began)
        return rows

    def _answered(self, kept: _Kept, began: float) -> None:
        if time.monotonic() - began <= _PROMPT_S:
            self._answers += 1
        self._idle.append(kept)

    def _failed(self, kept: _Kept, error: BaseException) -> None:
        """Close the connection. Raises the error unless the server is the reason."""
        import psycopg

        self._answers = 0
        _close(kept.connection)
        if not isinstance(error, Late | psycopg.Error):
            raise error

    def _close_all(self) -> None:
        for connection in list(self._open):
            _close(connection)


class Asked:
    """A statement that was sent. Its rows must be read, or `finish` be called."""

    def __init__(self, rows: Callable[[], list[Row] | None]) -> None:
        self._rows: Callable[[], list[Row] | None] | None = rows

    def rows(self) -> list[Row] | None:
        """Its rows, to be read once; None if they don't come within 0.05 s, or the statement failed."""
        read, self._rows = self._rows, None
        assert read is not None, "rows are read once"
        return read()

    def finish(self) -> None:
        """Make the connection usable for others, if nobody has read the rows."""
        if self._rows is not None:
            self.rows()


@dataclass
class _Kept:
    connection: Connection
    statements: Statements | None = None


def _close(connection: Connection) -> None:
    """Close it for good, rather than return it to the pool."""
    with suppress(Unavailable, sa.exc.SQLAlchemyError):
        if not connection.closed:
            connection.invalidate()
            connection.close()


def _nothing() -> None: ...
