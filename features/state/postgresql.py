"""Keeps the state of the partitions in the platform's PostgreSQL database, in tables that `leads migrate` creates.

Each partition also has the names of its views among its values, as the keys of one more view. A view never gets empty
again, so a named one without values was lost: every read and commit checks that. A few values that were deleted from a
view that has others are not noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from features.state.fence import Fence, Held, names_of
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
_RESET = "UPDATE fold_states SET position = 0 WHERE partition = %(partition)s"
_EMPTY = "DELETE FROM fold_values WHERE partition = %(partition)s"
# The view whose keys are the names of all views. It has its own name too, so that it always has a value.
_NAMES = "views"
_NAMED = "SELECT key FROM fold_values WHERE partition = %(partition)s AND view = %(view)s"
# The views that have values: the first one, then again and again the next one, each through the index.
_PRESENT = """
    WITH RECURSIVE present AS (
        (SELECT view FROM fold_values WHERE partition = %(partition)s ORDER BY view LIMIT 1)
        UNION ALL
        SELECT (
            SELECT view FROM fold_values
            WHERE partition = %(partition)s AND view > present.view
            ORDER BY view LIMIT 1
        )
        FROM present WHERE present.view IS NOT NULL
    )
    SELECT view FROM present WHERE view IS NOT NULL
"""
# `sentinel` names a view that must have values. At least one row comes back if it does and if the worker is still the
# owner: without any value, one whose key is NULL. PostgreSQL would look for a view with EXISTS without the index.
_GET = """
    SELECT stored.key, stored.value
    FROM fold_states AS held
    LEFT JOIN fold_values AS stored
        ON stored.partition = %(partition)s AND stored.view = %(view)s AND stored.key = ANY(%(keys)s::bytea[])
    WHERE held.partition = %(partition)s AND held.owner = %(owner)s AND held.position = %(position)s
        AND (
            SELECT key FROM fold_values WHERE partition = %(partition)s AND view = %(sentinel)s ORDER BY key LIMIT 1
        ) IS NOT NULL
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
        AND (
            SELECT key FROM fold_values WHERE partition = %(partition)s AND view = %(sentinel)s ORDER BY key LIMIT 1
        ) IS NOT NULL
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
        self._views: set[str] = set()
        self._engine = unchecked_engine(settings, timeout_s=_TIMEOUT_S)
        try:
            with self._engine.begin() as connection:
                fence.position = self._claim(connection, take_over)
            self._reading = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        except BaseException:
            self._engine.dispose()
            raise

    def position(self) -> int:
        self._check(self._reading)
        return self._fence.position

    def get(self, view: str, keys: Sequence[str]) -> dict[str, bytes]:
        return self._read(_GET, view, keys=[key.encode() for key in keys])

    def scan(self, view: str) -> Iterator[dict[str, bytes]]:
        first = b""
        while found := self._read(_SCAN, view, first=first, limit=_CHUNK):
            yield found
            first = next(reversed(found)).encode() + b"\0"

    def commit(self, position: int, changed: Mapping[str, Mapping[str, bytes]]) -> None:
        new = {view for view, rows in changed.items() if rows} - self._views
        with self._engine.begin() as connection:
            moved = connection.exec_driver_sql(_MOVE, self._parameters(to=position)).rowcount == 1
            # Before anything is written: values that come back to a view would hide that the others were lost.
            self._check(connection, moved=moved)
            for view, rows in changed.items():
                self._put(connection, view, rows)
            self._put(connection, _NAMES, dict.fromkeys(new, b""))
        self._fence.position = position
        self._views |= new

    def close(self) -> None:
        self._reading.close()
        self._engine.dispose()

    def _read(self, query: str, view: str, **more: Any) -> dict[str, bytes]:
        sentinel = view if view in self._views else _NAMES
        parameters = self._parameters(view=view, sentinel=sentinel, **more)
        rows = self._reading.exec_driver_sql(query, parameters).all()
        if not rows:
            self._fence.check(self._held(self._reading))
            raise self._fence.lost()
        return {bytes(key).decode(): bytes(value) for key, value in rows if key is not None}

    def _check(self, connection: Connection, *, moved: bool = False) -> None:
        """Check that no view is lost, and that this worker is still the owner, which it is if it has just moved."""
        if not moved:
            self._fence.check(self._held(connection))
        if self._views - self._present(connection):
            raise self._fence.lost()

    def _present(self, connection: Connection) -> set[str]:
        return set(connection.exec_driver_sql(_PRESENT, self._parameters()).scalars())

    def _put(self, connection: Connection, view: str, rows: Mapping[str, bytes]) -> None:
        # In the order of the index: neighbours are on the same page.
        ordered = sorted((key.encode(), value) for key, value in rows.items())
        for start in range(0, len(ordered), _CHUNK):
            keys, values = zip(*ordered[start : start + _CHUNK], strict=True)
            connection.exec_driver_sql(_PUT, self._parameters(view=view, keys=list(keys), values=list(values)))

    def _claim(self, connection: Connection, take_over: bool) -> int:
        claim = self._parameters(home=self._fence.home, format=FORMAT, take_over=take_over)
        found = connection.exec_driver_sql(_CLAIM, claim).first()
        if found is None:
            self._fence.check_claim(self._held(connection), take_over=take_over)
            raise self._fence.contended()
        present = self._present(connection)
        keys = connection.exec_driver_sql(_NAMED, self._parameters(view=_NAMES)).scalars()
        named = {bytes(key).decode() for key in keys}
        position = int(found.position)
        # An earlier release named no views.
        if position and (not present or named - present):
            self._fence.log_loss()
            connection.exec_driver_sql(_RESET, self._parameters())
            position = 0
        if not position:
            connection.exec_driver_sql(_EMPTY, self._parameters())
            present, named = set(), set()
        self._views = {_NAMES, *present}
        self._put(connection, _NAMES, dict.fromkeys(self._views - named, b""))
        return position

    def _held(self, connection: Connection) -> Held | None:
        found = connection.exec_driver_sql(_HELD, self._parameters()).first()
        return Held(*found) if found else None

    def _parameters(self, **more: Any) -> dict[str, Any]:
        fence = self._fence
        return {"partition": fence.name, "owner": fence.owner, "position": fence.position, **more}


def clear(settings: Settings, features: int | None = None) -> None:
    """Delete the state of every partition.

    Args:
        features: number of the generation of features; None: of all.

    Raises:
        ConfigurationError: LEADS_DATABASE_URL isn't PostgreSQL.
        Unavailable: the database doesn't respond.
    """
    _check_url(settings)
    engine = unchecked_engine(settings)
    try:
        with engine.begin() as connection:
            # First the states: a commit holds its row, and nothing can be committed without it.
            if features is None:
                connection.exec_driver_sql("DELETE FROM fold_states")
                connection.exec_driver_sql("TRUNCATE fold_values")
            else:
                names = {"names": f"^{names_of(features)}$"}
                connection.exec_driver_sql("DELETE FROM fold_states WHERE partition ~ %(names)s", names)
                connection.exec_driver_sql("DELETE FROM fold_values WHERE partition ~ %(names)s", names)
    finally:
        engine.dispose()


def _check_url(settings: Settings) -> None:
    if database_url(settings).get_backend_name() != "postgresql":
        raise ConfigurationError(
            "LEADS_STATE_STORE is postgresql, but the database isn't PostgreSQL.",
            field="LEADS_STATE_STORE",
            remedy="Set LEADS_DATABASE_URL=postgresql+psycopg://user:password@host:5432/name, or choose another store.",
        )
