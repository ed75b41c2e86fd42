"""Sends a statement to PostgreSQL and reads its rows later, so that other work can be done meanwhile.

Uses libpq as psycopg offers it (`psycopg.pq`), without cursors, conversions or SQLAlchemy: they cost three times as
much as a look-up of one subject.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.engine import Connection

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn, PGresult

# The values of a row, as text.
Row = tuple[bytes | None, ...]
# Names of prepared statements: a connection outlives its `Statements` in the pool.
_names = map("leads_{}".format, count())


class Late(Exception):
    """The server did not answer in time."""


class Statements:
    """One connection's statements, of which at most one waits for its answer. Not thread-safe.

    Each statement is prepared when it is used first.

    Args:
        connection: in autocommit mode, through psycopg.
    """

    def __init__(self, connection: Connection) -> None:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        self._pg: PGconn = driver.pgconn
        self._encoding = driver.info.encoding
        self._poll = select.poll()
        self._prepared: dict[str, bytes] = {}

    def send(self, statement: str, parameters: Sequence[str | Sequence[str]], wait_s: float) -> None:
        """Send a statement.

        Args:
            statement: with parameters $1, $2, ….
            parameters: each a text, or texts for an array.
            wait_s: how long to wait while the statement is prepared.

        Raises:
            Late: preparing it takes longer. The connection can't be used any more.
            psycopg.Error: the server refused it, or the connection is broken.
        """
        name = self._prepared.get(statement)
        if name is None:
            name = next(_names).encode()
            self._pg.send_prepare(name, statement.encode())
            self._results(wait_s)
            self._prepared[statement] = name
        values = [(one if isinstance(one, str) else _array(one)).encode(self._encoding) for one in parameters]
        self._pg.send_query_prepared(name, values)
        self._pg.flush()

    def rows(self, wait_s: float) -> list[Row]:
        """The rows of the statement that was sent, in order.

        Raises:
            Late: the server takes longer. The connection can't be used any more.
            psycopg.Error: the statement failed, or the connection is broken.
        """
        found: list[Row] = []
        for result in self._results(wait_s):
            columns = range(result.nfields)
            found += [tuple([result.get_value(row, i) for i in columns]) for row in range(result.ntuples)]
        return found

    def _results(self, wait_s: float) -> list[PGresult]:
        import psycopg
        from psycopg import pq

        pg, until = self._pg, time.monotonic() + wait_s
        found: list[PGresult] = []
        while True:
            unsent = pg.flush()
            if unsent or pg.is_busy():
                self._wait(until, select.POLLIN | (select.POLLOUT if unsent else 0))
                pg.consume_input()
                continue
            result = pg.get_result()
            if result is None:
                return found
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                # The message may quote parameters, so only the code is kept.
                code = result.error_field(pq.DiagnosticField.SQLSTATE) or b"unknown"
                raise psycopg.OperationalError(f"the statement failed ({code.decode('ascii', 'replace')})")
            found.append(result)

    def _wait(self, until: float, events: int) -> None:
        left = until - time.monotonic()
        self._poll.register(self._pg.socket, events)
        if left <= 0 or not self._poll.poll(left * 1_000):
            raise Late


def _array(texts: Sequence[str]) -> str:
    """An array of texts as PostgreSQL reads it.

    >>> _array(["a", 'b"c', "d\\\\e", "NULL", ""])
    '{"a","b\\\\"c","d\\\\\\\\e","NULL",""}'
    """
    return "{" + ",".join(['"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"' for one in texts]) + "}"
