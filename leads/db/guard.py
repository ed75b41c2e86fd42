"""Limits how long a slow or failed database can block its callers, and translates its errors.

PostgreSQL's `statement_timeout` ends long statements, but not if the server process hangs, and TCP doesn't notice
either because the server's kernel keeps the connection alive. So the client limits its waits too.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from leads.breaker import Breaker
from leads.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    import psycopg

WHAT = "The database"
FIELD = "LEADS_DATABASE_URL"
REMEDY = "Check that it is running and that the credentials are valid."
PARAMETERS = "A parameter after the question mark is invalid."
# Limit for connecting when statements have no limit.
_CONNECT_S = 10.0
# The client waits this much longer than the server: if the server ends the statement, the connection stays usable.
_CLIENT_LATER_S = 0.5
_MAX_COOL_DOWN_S = 2.0
_log = logging.getLogger(__name__)


class Pool(QueuePool):
    """A connection pool that raises Unavailable when no connection becomes free in time."""

    def connect(self) -> PoolProxiedConnection:
        try:
            return super().connect()
        except sa.exc.TimeoutError as error:
            raise Unavailable("All connections to the database are in use.", remedy="Try again in a second.") from error


def invalid_url(what: str) -> ConfigurationError:
    """The error of a database URL. It quotes no part of the URL, which may contain a password."""
    remedy = "Use sqlite:////path/to/file.db or postgresql+psycopg://user:password@host:5432/name."
    return ConfigurationError(what, field=FIELD, remedy=remedy)


def translate_errors(engine: Engine) -> None:
    """Make the engine raise Unavailable instead of driver errors when its database fails."""
    sa.event.listen(engine, "handle_error", _translated)


def bound(engine: Engine, timeout_s: float | None) -> None:
    """Limit how long the engine waits for PostgreSQL (through psycopg).

    Args:
        timeout_s: limit for a statement and, rounded up to at least two seconds, for a connect. While connecting fails,
            calls fail at once except for an occasional probe. None: no limit for statements.
    """
    breaker = Breaker(WHAT, remedy=REMEDY, max_s=_MAX_COOL_DOWN_S) if timeout_s else None
    connect = _connect if timeout_s is None else _bounded(timeout_s)

    def do_connect(_dialect: object, _record: object, args: list[Any], options: dict[str, Any]) -> object:
        options.setdefault("connect_timeout", math.ceil(timeout_s or _CONNECT_S))
        if breaker is None:
            return _valid(connect, args, options)
        ticket = breaker.enter()
        try:
            connection = _valid(connect, args, options)
        except BaseException as error:
            breaker.failed(ticket, type(error).__name__)
            raise
        breaker.succeeded(ticket)
        return connection

    sa.event.listen(engine, "do_connect", do_connect)


def _translated(context: ExceptionContext) -> Unavailable | None:
    error = context.sqlalchemy_exception
    # A dead connection found when it is taken from the pool is replaced; that is not an error yet.
    if error is None or context.is_pre_ping:
        return None
    # SQLite reports a damaged file with its base error class.
    failed = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError) or type(error) is sa.exc.DatabaseError
    if not (failed or context.is_disconnect):
        return None
    kind = type(context.original_exception).__name__
    _log.warning("database error in a statement or a connection (%s)", kind)
    return Unavailable(f"{WHAT} is not responding ({kind}).", field=FIELD, remedy=REMEDY)


def _valid(
    connect: Callable[..., psycopg.Connection[Any]], args: list[Any], options: dict[str, Any]
) -> psycopg.Connection[Any]:
    import psycopg

    try:
        return connect(*args, **options)
    except psycopg.ProgrammingError:
        raise invalid_url(PARAMETERS) from None


def _connect(*args: Any, **options: Any) -> psycopg.Connection[Any]:
    import psycopg

    return psycopg.connect(*args, **options)


def _bounded(timeout_s: float) -> Callable[..., psycopg.Connection[Any]]:
    def connect(*args: Any, **options: Any) -> psycopg.Connection[Any]:
        connection = _bounded_type(timeout_s + _CLIENT_LATER_S).connect(*args, **options)
        try:
            connection.execute(f"SET statement_timeout = {math.ceil(timeout_s * 1_000)}".encode())
            # Without the commit, a rollback would undo the SET.
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


@cache
def _bounded_type(seconds: float) -> type[psycopg.Connection[Any]]:
    """A connection type that closes when the server sends nothing for this long."""
    import psycopg

    class Bounded(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
            return super().wait(self._until(gen, time.monotonic() + seconds), *args, **kwargs)

        def _until(self, gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
            """Run the generator until the deadline; psycopg resumes it at least every 0.1 s."""
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if not ready and time.monotonic() > deadline:
                        self.pgconn.finish()
                        raise psycopg.OperationalError("the server is not responding")
                    wanted = gen.send(ready)
            except StopIteration as ended:
                return ended.value

    return Bounded
