"""Keeps the state of the partitions in the platform's PostgreSQL database, in tables that `leads migrate` creates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from features.state.fence import Fence, Held
from features.state.store import FORMAT
from leads.db.engine import database_url, unchecked_engine
from leads.errors import ConfigurationError
from leads.settings import Settings

# A statement that takes longer fails. The largest takes a fraction of a second on a server that isn't overloaded.
_TIMEOUT_S = 60.0
# Rows per statement.
_CHUNK = 2_000

_HELD = "SELECT owner, position, home, format FROM fold_states WHERE partition = %(partition)s"
# A commit that another worker has begun holds the row, so the claim waits for its end.
_CLAIM = """
    INSERT INTO fold_states AS held (partition, position, owner, home, format)
    VALUES (%(partition)s, 0, %(owner)s, %(home)s, %(format)s)
    ON CONFLICT (partition) DO UPDATE SET
        owner = excluded.owner,
        position = CASE WHEN held.format = excluded.format THEN held.position ELSE 0 END,
        format = excluded.format
    WHERE held.home = excluded.home AND (%(take_over)s OR held.owner = excluded.owner)
    RETURNING position
"""
_EMPTY = "DELETE FROM fold_values WHERE partition = %(partition)s"
# At least one row comes back if the worker is still the owner: without any value, one whose key is NULL.
_GET = """
    SELECT stored.key, stored.value
    FROM fold_states AS held
    LEFT JOIN fold_values AS stored
        ON stored.partition = %(partition)s AND stored.view = %(view)s AND stored.key = ANY(%(keys)s::bytea[])
    WHERE held.partition = %(partition)s AND held.owner = %(owner)s AND held.position = %(position)s
"""
# The same for the next values in the order of their keys.
_SCAN = """
    SELECT stored.key, stored.value
    FROM fold_states AS held
    LEFT JOIN (
        SELECT key, value FROM fold_values
        WHERE partition = %(partition)s AND view = %(view)s AND key >= %(first)s
        ORDER BY key LIMIT %(limit)s
    ) AS stored ON true
    WHERE held.partition = %(partition)s AND held.owner = %(owner)s AND held.position = %(position)s
    ORDER BY stored.key
"""
# Locks the row until the end of the transaction.
_MOVE = """
    UPDATE fold_states SET position = %(to)s
    WHERE partition = %(partition)s AND owner = %(owner)s AND position = %(position)s
"""
_PUT = """
    INSERT INTO fold_values (partition, view, key, value)
    SELECT %(partition)s, %(view)s, new.key, new.value
    FROM unnest(%(keys)s::bytea[], %(values)s::bytea[]) AS new (key, value)
    ON CONFLICT (partition, view, key) DO UPDATE SET value = excluded.value
"""


class PostgresqlState:
    """One connection for reads, and another one for each commit.

    Args:
        take_over: replace another worker of the same home; False: only continue what this fence's owner began.

    Raises:
        ConfigurationError: LEADS_DATABASE_URL isn't PostgreSQL, or the state belongs to another home.
        Conflict: another worker is the owner.
        Unavailable: the database doesn't respond.
    """

    def __init__(self, settings: Settings, fence: Fence, *, take_over: bool = True) -> None:
        _check_url(settings)
        self._fence = fence
        self._engine = unchecked_engine(settings, timeout_s=_TIMEOUT_S)
        try:
            with self._engine.begin() as connection:
                fence.position = self._claim(connection, take_over)
            self._reading = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        except BaseException:
            self._engine.dispose()
            raise

    def position(self) -> int:
        self._fence.check(self._held(self._reading))
        return self._fence.position

    def get(self, view: str, keys: Sequence[str]) -> dict[str, bytes]:
        return self._read(_GET, view=view, keys=[key.encode() for key in keys])

    def scan(self, view: str) -> Iterator[dict[str, bytes]]:
        first = b""
        while found := self._read(_SCAN, view=view, first=first, limit=_CHUNK):
            yield found
            first = next(reversed(found)).encode() + b"\0"

    def commit(self, position: int, changed: Mapping[str, Mapping[str, bytes]]) -> None:
        with self._engine.begin() as connection:
            if connection.exec_driver_sql(_MOVE, self._parameters(to=position)).rowcount != 1:
                self._fence.check(self._held(connection))
            for view, rows in changed.items():
                # In the order of the index: neighbours are on the same page.
                ordered = sorted((key.encode(), value) for key, value in rows.items())
                for start in range(0, len(ordered), _CHUNK):
                    keys, values = zip(*ordered[start : start + _CHUNK], strict=True)
                    put = self._parameters(view=view, keys=list(keys), values=list(values))
                    connection.exec_driver_sql(_PUT, put)
        self._fence.position = position

    def close(self) -> None:
        self._reading.close()
        self._engine.dispose()

    def _read(self, query: str, **parameters: Any) -> dict[str, bytes]:
        rows = self._reading.exec_driver_sql(query, self._parameters(**parameters)).all()
        if not rows:
            self._fence.check(self._held(self._reading))
        return {bytes(key).decode(): bytes(value) for key, value in rows if key is not None}

    def _claim(self, connection: Connection, take_over: bool) -> int:
        claim = self._parameters(home=self._fence.home, format=FORMAT, take_over=take_over)
        found = connection.exec_driver_sql(_CLAIM, claim).first()
        if found is None:
            self._fence.check_claim(self._held(connection), take_over=take_over)
            raise self._fence.contended()
        if not found.position:
            connection.exec_driver_sql(_EMPTY, self._parameters())
        return int(found.position)

    def _held(self, connection: Connection) -> Held | None:
        found = connection.exec_driver_sql(_HELD, self._parameters()).first()
        return Held(*found) if found else None

    def _parameters(self, **more: Any) -> dict[str, Any]:
        fence = self._fence
        return {"partition": fence.name, "owner": fence.owner, "position": fence.position, **more}


def clear(settings: Settings) -> None:
    """Delete the state of every partition.

    Raises:
        ConfigurationError: LEADS_DATABASE_URL isn't PostgreSQL.
        Unavailable: the database doesn't respond.
    """
    _check_url(settings)
    engine = unchecked_engine(settings)
    try:
        with engine.begin() as connection:
            # First the states: a commit holds its row, and nothing can be committed without it.
            connection.exec_driver_sql("DELETE FROM fold_states")
            connection.exec_driver_sql("TRUNCATE fold_values")
    finally:
        engine.dispose()


def _check_url(settings: Settings) -> None:
    if database_url(settings).get_backend_name() != "postgresql":
        raise ConfigurationError(
            "LEADS_STATE_STORE is postgresql, but the database isn't PostgreSQL.",
            field="LEADS_STATE_STORE",
            remedy="Set LEADS_DATABASE_URL=postgresql+psycopg://user:password@host:5432/name, or choose another store.",
        )
