"""The engine for the tables, and the schema's revision: check it on opening, migrate it on request.

Only `migrate` changes the schema of an existing database. Migrations only add, so code runs on its own revision of the
schema and on every newer one. Revisions are numbered with four digits: their order as text is the order they came in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from leads.db import guard
from leads.errors import ConfigurationError
from leads.files import private_folder
from leads.settings import Settings

_MIGRATIONS = Path(__file__).parent / "migrations"
_REMEDY = "Run: leads migrate"
# Any number that no other application on the same PostgreSQL database uses.
_LOCK = 7235019
# Execution option: how long a transaction waits for other writers, in seconds (SQLite).
WAIT_S = "leads_wait_s"
_BUSY_S = 30
# The most connections of one process: one for each of its threads that use the database.
MAX_CONNECTIONS = 20
_KEPT = 5


class Migrated(NamedTuple):
    """The schema's revision before and after a migration; `before` is None if there was no schema."""

    before: str | None
    after: str


def open_engine(settings: Settings, *, create: bool = True, timeout_s: float | None = None) -> Engine:
    """An engine on the settings' database, once its schema is known to be new enough for this code.

    Where the database fails later, calls raise Unavailable.

    Args:
        create: create the tables if the database is an SQLite file that is missing or empty.
        timeout_s: how long a PostgreSQL server may take for a statement, for processes that answer requests; None: no
            limit.

    Raises:
        ConfigurationError: the URL isn't one of SQLite or PostgreSQL, or the schema is older than this code needs, or
            there is none.
        Unavailable: the database doesn't answer.
    """
    url = database_url(settings)
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite and not create and url.database and not Path(url.database).exists():
        raise _missing(url)
    engine = unchecked_engine(settings, timeout_s=timeout_s)
    try:
        revision = schema_revision(engine)
        if revision is None and sqlite and create:
            revision = _create(engine)
        if revision is None:
            raise _missing(url)
        if revision < newest_revision():
            raise ConfigurationError(
                f"The database schema is at revision {revision}, this version needs {newest_revision()}.",
                remedy=_REMEDY,
            )
    except BaseException:
        engine.dispose()
        raise
    return engine


def unchecked_engine(settings: Settings, *, timeout_s: float | None = None) -> Engine:
    """Like `open_engine`, but without connecting: the database may be down, or have no tables yet."""
    url = database_url(settings)
    size = {"pool_size": _KEPT, "max_overflow": MAX_CONNECTIONS - _KEPT}
    if url.get_backend_name() == "sqlite":
        if url.database:
            private_folder(Path(url.database).parent)
        waits = {"timeout": _BUSY_S, "check_same_thread": False}
        engine = _create_engine(url, connect_args=waits, **size)
        sa.event.listen(engine, "connect", _sqlite_pragmas)
        sa.event.listen(engine, "begin", _sqlite_begin)
    else:
        waiting = {} if timeout_s is None else {"pool_timeout": timeout_s}
        engine = _create_engine(url, pool_pre_ping=True, **size, **waiting)
        if url.get_driver_name() == "psycopg":
            guard.bound(engine, timeout_s)
    guard.translate_errors(engine)
    return engine


def database_url(settings: Settings) -> sa.URL:
    """The URL of the settings' database.

    Raises:
        ConfigurationError: it isn't a URL of SQLite or PostgreSQL.
    """
    # The errors of SQLAlchemy quote parts of the URL, so they aren't kept as causes either.
    try:
        url = sa.make_url(settings.database)
        is_async = url.get_dialect().is_async
    except NoSuchModuleError:
        raise guard.invalid_url("Neither SQLite nor PostgreSQL, or not one of their drivers.") from None
    except ArgumentError:
        raise guard.invalid_url("Not a database URL.") from None
    except ValueError:
        raise guard.invalid_url("The port is not a number.") from None
    if url.get_backend_name() not in ("sqlite", "postgresql") or is_async:
        raise guard.invalid_url("Neither SQLite nor PostgreSQL, or not one of their drivers.")
    if url.port is not None and not 0 < url.port < 65_536:
        raise guard.invalid_url("The port is not between 1 and 65535.")
    return url


def database_exists(settings: Settings) -> bool:
    """Whether there is a database; one on a server may still have no tables."""
    url = database_url(settings)
    return not (url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists())


def has_tables(settings: Settings) -> bool:
    """Whether there is a database, and `leads migrate` has created its tables.

    Raises:
        Unavailable: the database doesn't answer.
    """
    if not database_exists(settings):
        return False
    engine = unchecked_engine(settings)
    try:
        return schema_revision(engine) is not None
    finally:
        engine.dispose()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reads: on SQLite it takes no write lock."""
    with engine.connect().execution_options(leads_read_only=True) as connection:
        yield connection


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Insert the rows whose key does not exist yet; returns the first key column of those that were inserted."""
    if not rows:
        return []
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    # The driver's count of changed rows is -1 for this statement on PostgreSQL.
    statement = insert(table).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return list(connection.execute(statement, list(rows)).scalars())


def upsert(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], *, key: Sequence[str]) -> None:
    """Insert the rows; those whose `key` exists replace the stored row."""
    if not rows:
        return
    insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)
    changed = {name: insert.excluded[name] for name in rows[0] if name not in key}
    connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=changed), list(rows))


def lock_name(connection: Connection, name: str) -> None:
    """Wait until no other transaction holds this name, and hold it until the caller's transaction ends."""
    # On SQLite, a transaction that writes is the only one.
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


def migrate(settings: Settings) -> Migrated:
    """Create the tables of the settings' database, or bring them to this code's revision.

    Raises:
        Unavailable: the database doesn't answer.
    """
    engine = unchecked_engine(settings)
    try:
        return upgrade(engine)
    finally:
        engine.dispose()


def upgrade(engine: Engine, revision: str | None = None) -> Migrated:
    """Bring the schema to `revision`, by default the newest. A schema that is as new or newer stays as it is."""
    wanted = revision or newest_revision()
    with _alone(engine) as connection:
        before = _revision(connection)
        if before is not None and before >= wanted:
            return Migrated(before, before)
        _run_migrations(connection, wanted)
        return Migrated(before, wanted)


def schema_revision(engine: Engine) -> str | None:
    """The revision the database's schema is at; None if it has no schema of ours."""
    with reading(engine) as connection:
        return _revision(connection)


@cache
def newest_revision() -> str:
    """The schema revision that this code needs."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _create_engine(url: sa.URL, **options: Any) -> Engine:
    try:
        return sa.create_engine(url, poolclass=guard.Pool, **options)
    except ImportError:
        raise guard.invalid_url("The driver is not installed.") from None
    except (ArgumentError, TypeError, ValueError):
        raise guard.invalid_url(guard.PARAMETERS) from None


def _create(engine: Engine) -> str | None:
    """Create the tables unless there are tables of any kind; returns the schema's revision."""
    with _alone(engine) as connection:
        if not sa.inspect(connection).get_table_names():
            _run_migrations(connection, newest_revision())
        return _revision(connection)


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that waits for every other process that migrates this database."""
    with engine.begin() as connection:
        # On SQLite, the transaction itself keeps others out.
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT max(version_num) FROM alembic_version")).scalar()
    return found


def _run_migrations(connection: Connection, revision: str) -> None:
    # Imported here because only migrations need it, and few processes migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    # A percent sign in the path is not the start of an interpolation.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config, revision)


def _missing(url: sa.URL) -> ConfigurationError:
    file = url.get_backend_name() == "sqlite" and url.database
    what = f"There is no database at {file} yet." if file else "The database has no tables yet."
    return ConfigurationError(what, remedy=_REMEDY)


def _sqlite_pragmas(dbapi_connection: object, _record: object) -> None:
    dbapi_connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = dbapi_connection.cursor()  # type: ignore[attr-defined]
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={_BUSY_S * 1_000}",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    """Writers take the lock at once: a transaction that reads first and writes later could not be granted it."""
    options = connection.get_execution_options()
    if options.get("leads_read_only", False):
        connection.exec_driver_sql("BEGIN")
        return
    # Connections are pooled, so each transaction says for how long it waits.
    wait_s = min(options.get(WAIT_S, _BUSY_S), _BUSY_S)
    connection.exec_driver_sql(f"PRAGMA busy_timeout={max(0, round(wait_s * 1_000))}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
