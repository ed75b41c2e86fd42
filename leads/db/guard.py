"""What keeps a database that is down, hung or overwhelmed from holding its callers: bounds, and errors of our own kind.

PostgreSQL's `statement_timeout` ends a statement that takes long; nothing of the server's ends one while the server
itself stands still, nor does TCP, which that server's kernel keeps alive. So the client bounds its waits as well.
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
from leads.errors import Unavailable

if TYPE_CHECKING:
    import psycopg

WHAT = "The database"
FIELD = "LEADS_DATABASE_URL"
REMEDY = "Check that it runs and who may log in."
# Where a statement may take any time, connecting still may not.
_CONNECT_S = 10.0
# The server is to end a long statement first: its connection can be used again then.
_CLIENT_LATER_S = 0.5
_MOST_COOL_DOWN_S = 2.0
_log = logging.getLogger(__name__)


class Pool(QueuePool):
    """A pool whose callers get Unavailable when every connection stays in use for too long."""

    def connect(self) -> PoolProxiedConnection:
        try:
            return super().connect()
        except sa.exc.TimeoutError as error:
            raise Unavailable("All connections to the database are in use.", remedy="Try again in a second.") from error


def translate_errors(engine: Engine) -> None:
    """From now on the engine raises Unavailable where its database fails, not its driver's errors."""
    sa.event.listen(engine, "handle_error", _translated)


def bound(engine: Engine, timeout_s: float | None) -> None:
    """Bound what the engine waits for a PostgreSQL through psycopg.

    Args:
        timeout_s: how long a statement may take, a connect too (at least two seconds). While no connection can be
            made, calls fail at once but for a probe now and then. None: statements may take any time.
    """
    breaker = Breaker(WHAT, remedy=REMEDY, most_s=_MOST_COOL_DOWN_S) if timeout_s else None
    connect = _connect if timeout_s is None else _bounded(timeout_s)

    def do_connect(_dialect: object, _record: object, args: list[Any], options: dict[str, Any]) -> object:
        options.setdefault("connect_timeout", math.ceil(timeout_s or _CONNECT_S))
        if breaker is None:
            return connect(*args, **options)
        ticket = breaker.enter()
        try:
            connection = connect(*args, **options)
        except BaseException as error:
            breaker.failed(ticket, type(error).__name__)
            raise
        breaker.succeeded(ticket)
        return connection

    sa.event.listen(engine, "do_connect", do_connect)


def _translated(context: ExceptionContext) -> Unavailable | None:
    error = context.sqlalchemy_exception
    # A connection that turns out to be dead when it is taken from the pool is replaced; that is no error yet.
    if error is None or context.is_pre_ping:
        return None
    # SQLite tells of a damaged file by the parent of all its errors.
    failed = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError) or type(error) is sa.exc.DatabaseError
    if not (failed or context.is_disconnect):
        return None
    kind = type(context.original_exception).__name__
    _log.warning("the database failed a statement or a connection (%s)", kind)
    return Unavailable(f"{WHAT} doesn't answer ({kind}).", field=FIELD, remedy=REMEDY)


def _connect(*args: Any, **options: Any) -> psycopg.Connection[Any]:
    import psycopg

    return psycopg.connect(*args, **options)


def _bounded(timeout_s: float) -> Callable[..., psycopg.Connection[Any]]:
    def connect(*args: Any, **options: Any) -> psycopg.Connection[Any]:
        connection = _bounded_type(timeout_s + _CLIENT_LATER_S).connect(*args, **options)
        try:
            connection.execute(f"SET statement_timeout = {math.ceil(timeout_s * 1_000)}".encode())
            # A rollback would take it back.
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


@cache
def _bounded_type(seconds: float) -> type[psycopg.Connection[Any]]:
    """A connection that is given up when the server says nothing for so long."""
    import psycopg

    class Bounded(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *args: Any, **how: Any) -> Any:
            return super().wait(self._until(gen, time.monotonic() + seconds), *args, **how)

        def _until(self, gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
            """The same steps, which come at least every tenth of a second, until the deadline."""
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if not ready and time.monotonic() > deadline:
                        self.pgconn.finish()
                        raise psycopg.OperationalError("the server doesn't answer")
                    wanted = gen.send(ready)
            except StopIteration as ended:
                return ended.value

    return Bounded
