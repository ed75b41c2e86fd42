"""The deadline of a request, for the work that must not outlive it.

A caller who was told that a request failed must not find its effects later. So a transaction that belongs to a request
waits for the database only until the request's deadline, and no commit begins after it. Work that takes long checks the
deadline between its steps, and stops once it has passed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

from sqlalchemy.engine import Connection, Engine

from leads.db.engine import WAIT_S
from leads.errors import Unavailable


class OutOfTime(Exception):
    """The request's deadline has passed, so its work stops."""


class _Deadline:
    """Shared by a request and the threads that work for it."""

    __slots__ = ("until",)

    def __init__(self, until: float) -> None:
        self.until = until


_current: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


def set_deadline(seconds: float) -> Token[_Deadline | None]:
    """Set the deadline of the current request, in seconds from now; threads that run for it inherit it."""
    return _current.set(_Deadline(time.monotonic() + seconds))


def reset(token: Token[_Deadline | None]) -> None:
    """Restore the deadline from before `set_deadline`."""
    _current.reset(token)


def expire() -> None:
    """Let the deadline of the current request pass now, also in the threads that run for it."""
    current = _current.get()
    if current is not None:
        current.until = -math.inf


def remaining() -> float:
    """Seconds until the current request's deadline; infinite outside a request."""
    current = _current.get()
    return math.inf if current is None else current.until - time.monotonic()


def check() -> None:
    """Stop here if the current request's deadline has passed.

    Raises:
        OutOfTime: it has.
    """
    if remaining() <= 0:
        raise OutOfTime


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that commits at the end of the block, unless the deadline has passed by then.

    Raises:
        Unavailable: the deadline has passed, or the database is locked or fails. Nothing was written.
    """
    _check()
    limited = math.isfinite(remaining())
    options = {WAIT_S: remaining()} if limited else {}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        if limited and connection.dialect.name == "postgresql":
            wait_ms = max(1, round(remaining() * 1_000))
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait_ms}")
        yield connection
        _check()


def _check() -> None:
    if remaining() <= 0:
        raise Unavailable("The database did not answer in time; nothing was written.", remedy="Try again.")
