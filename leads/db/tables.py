"""The relational tables, for SQLite and PostgreSQL alike, and the engine for them. Times are µs since epoch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection, Engine

from leads.db import guard
from leads.settings import Settings

metadata = sa.MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s"})

# Plays are most of the log and are never looked up one by one.
_WITHOUT_PLAYS: Any = {"postgresql_where": sa.text("kind <> 'played'"), "sqlite_where": sa.text("kind <> 'played'")}


def _seq() -> sa.Column[int]:
    """A number that the database gives, higher for every later row."""
    return sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True)


events = sa.Table(
    "events",
    metadata,
    sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("visible_at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("type_id", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Index("ix_events_subject", "type_id", "subject_id", "kind", "offset", **_WITHOUT_PLAYS),
    sa.Index("ix_events_kind_offset", "kind", "offset", **_WITHOUT_PLAYS),
)

# One row. Whoever updates it holds it until commit, so offsets become visible in their own order.
log_head = sa.Table(
    "log_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("visible_at", sa.BigInteger, nullable=False),
)

# How far a named reader of the event log has come.
cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("harms", sa.JSON, nullable=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, nullable=True),
    # Requests per second; NULL: as the settings say, 0: without limit.
    sa.Column("rate", sa.Float, nullable=True),
)

leads = sa.Table(
    "leads",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("type_id", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    # open → claimed → decided or escalated; back to open when released or the lease runs out; withdrawn by a low score.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("prediction_id", sa.Text, nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    # score × severity × expected exposure, before aging.
    sa.Column("base_priority", sa.Float, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("scored_at", sa.BigInteger, nullable=False),
    sa.Column("claimed_by", sa.Text, nullable=True),
    sa.Column("lease_until", sa.BigInteger, nullable=True),
    sa.Column("decided_at", sa.BigInteger, nullable=True),
    sa.Column("verdict", sa.Text, nullable=True),
    sa.UniqueConstraint("type_id", "subject_id", "harm", name="uq_leads_subject_harm"),
    sa.Index("ix_leads_state_harm", "state", "harm"),
)

audit = sa.Table(
    "audit",
    metadata,
    _seq(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("lead_id", sa.Text, nullable=True),
    sa.Column("type_id", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Index("ix_audit_lead", "lead_id", "seq"),
)

# Who moved which version where, and why. Rows are only added; `state` alone changes, from pending to done or dropped.
model_changes = sa.Table(
    "model_changes",
    metadata,
    _seq(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("alias", sa.Text, nullable=True),
    sa.Column("replaced", sa.Text, nullable=True),
    sa.Column("overridden", sa.Boolean, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    # The gate's report as JSON; absent where none was asked.
    sa.Column("gate", sa.Text, nullable=True),
    sa.Index("ix_model_changes_harm", "harm", "seq"),
)

# Answers already given, so that a request sent twice with one Idempotency-Key gets the same answer.
idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("idempotency_key", sa.Text, primary_key=True),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


# One row for each look at a version's drift.
drift_verdicts = sa.Table(
    "drift_verdicts",
    metadata,
    _seq(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("drifted", sa.Boolean, nullable=False),
    sa.Column("score_drifted", sa.Boolean, nullable=False),
    sa.Column("share", sa.Float, nullable=False),
    sa.Index("ix_drift_verdicts_harm", "harm", "version", "seq"),
)

# Canaries that must not answer any more, until someone lets them try again.
canary_retreats = sa.Table(
    "canary_retreats",
    metadata,
    _seq(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    # When it was let try again; absent while the retreat stands.
    sa.Column("cleared_at", sa.BigInteger, nullable=True),
    sa.Index("ix_canary_retreats_harm", "harm", "version", "seq"),
)


def open_engine(settings: Settings, *, migrate: bool = True, timeout_s: float | None = None) -> Engine:
    """An engine on the settings' database, its tables up to date. It raises Unavailable where the database fails.

    Args:
        timeout_s: how long a server may take for a statement, for processes that answer requests; None: any time.
            Migrating may take any time.

    Raises:
        Unavailable: the database doesn't answer.
    """
    url = sa.make_url(settings.database)
    if migrate:
        migrating = _engine(url, None)
        try:
            upgrade(migrating)
        finally:
            migrating.dispose()
    return _engine(url, timeout_s)


def _engine(url: sa.URL, timeout_s: float | None) -> Engine:
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, poolclass=guard.Pool, connect_args={"timeout": 30, "check_same_thread": False})
        sa.event.listen(engine, "connect", _sqlite_pragmas)
        sa.event.listen(engine, "begin", _sqlite_begin)
    else:
        waiting = {} if timeout_s is None else {"pool_timeout": timeout_s}
        engine = sa.create_engine(
            url, poolclass=guard.Pool, pool_pre_ping=True, pool_size=5, max_overflow=10, **waiting
        )
        if url.get_driver_name() == "psycopg":
            guard.bound(engine, timeout_s)
    guard.translate_errors(engine)
    return engine


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest revision; nothing happens when it is there already."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Two processes that start together must not both migrate.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7235019)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reads: on SQLite it takes no write lock."""
    with engine.connect().execution_options(leads_read_only=True) as connection:
        yield connection


def _sqlite_pragmas(dbapi_connection: object, _record: object) -> None:
    dbapi_connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = dbapi_connection.cursor()  # type: ignore[attr-defined]
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "busy_timeout=30000",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    """Writers take the lock at once: a transaction that reads first and writes later could not be granted it."""
    read_only = connection.get_execution_options().get("leads_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
