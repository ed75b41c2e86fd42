"""Transactions that do not outlive the request they belong to.

A caller who was told that a request failed must not find its effects later. So a transaction that belongs to a request
waits for the database only until the request's deadline, and no commit begins after it.
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

_until: ContextVar[float] = ContextVar("deadline", default=math.inf)


def set_deadline(seconds: float) -> Token[float]:
    """Set the deadline of the current request, in seconds from now; threads that run for it inherit it."""
    return _until.set(time.monotonic() + seconds)


def reset(token: Token[float]) -> None:
    """Restore the deadline from before `set_deadline`."""
    _until.reset(token)


def remaining() -> float:
    """Seconds until the current request's deadline; infinite outside a request."""
    return _until.get() - time.monotonic()


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
