"""Copies a database to another one, usually from SQLite to PostgreSQL. The home stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Connection, Engine

from leads.backup import tables
from leads.db.engine import database_url, newest_revision, open_engine, schema_revision, unchecked_engine, upgrade
from leads.errors import ConfigurationError, Conflict
from leads.settings import Settings

_TO = "--to"


class Moved(NamedTuple):
    """The result of a move: the rows by table, and the offset of the newest event."""

    rows: dict[str, int]
    offset: int


def move_database(
    settings: Settings, to: str, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Moved:
    """Copy every table to the database with the URL `to`, which must be empty. Nothing is written to the old one.

    Meanwhile, other processes can't write to the old database.

    Args:
        on_progress: called with the rows copied, and their total.

    Raises:
        Conflict: the new database isn't empty, or is the old one.
        ConfigurationError: a URL is invalid, or the old database's schema isn't at this release's revision.
        InvalidInput: PostgreSQL can't store a value.
        Unavailable: a database doesn't answer; nothing was stored in the new one.
    """
    target = settings.model_copy(update={"database_url": SecretStr(to)})
    if database_url(target) == database_url(settings):
        raise Conflict("This is the database in use.", field=_TO, remedy="Name a new database.")
    source, destination = open_engine(settings, create=False), unchecked_engine(target)
    try:
        if (revision := schema_revision(source)) != newest_revision():
            raise ConfigurationError(
                f"The database's schema is at revision {revision}, newer than this release knows.",
                remedy="Use the release that migrated it.",
            )
        upgrade(destination, newest_revision())
        with _unchanging(source) as old, destination.begin() as new:
            return _copy(old, new, on_progress)
    finally:
        source.dispose()
        destination.dispose()


def _copy(old: Connection, new: Connection, on_progress: Callable[[int, int], None]) -> Moved:
    tables.check_empty(new, _TO)
    counts = {one.name: _count(old, one) for one in tables.stored_tables(old)}
    columns = {one.name: one for one in tables.stored_tables(new)}
    done, total = 0, sum(counts.values())
    for table in tables.stored_tables(old):
        for batch in tables.batches(old, table):
            tables.insert(new, columns[table.name], batch)
            done += batch.num_rows
            on_progress(done, total)
    tables.check_counts(new, counts, _TO)
    tables.continue_numbers(new)
    return Moved(counts, tables.head_offset(new))


def _count(connection: Connection, table: sa.Table) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() or 0


@contextmanager
def _unchanging(engine: Engine) -> Iterator[Connection]:
    """A connection to a database to which nobody can write meanwhile."""
    # On SQLite, this transaction has the write lock.
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            quoted = connection.dialect.identifier_preparer.quote_identifier
            names = ", ".join(quoted(table.name) for table in tables.stored_tables(connection))
            connection.execute(sa.text(f"LOCK TABLE {names} IN SHARE MODE"))
        yield connection
