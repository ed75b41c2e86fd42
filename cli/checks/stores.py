"""Checks of what keeps data: the database, MLflow, the online store, the workers' state."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from cli.checks import places
from cli.checks.findings import ANSWER_S, Check, Finding
from cli.checks.http import answer_of
from features.declared.generations import live_features
from features.feast.online_config import online_redis, redis_address
from features.online.codec import row_of
from features.online.stores import open_online_store
from features.redis.address import RedisAddress
from features.redis.client import access_refused, failed, redis_client
from leads.db.engine import database_exists, newest_revision, reading, schema_revision, unchecked_engine
from leads.errors import LeadsError
from leads.settings import Settings

# The first that the online store and the state need.
_REDIS = (6, 2)
# Feast takes seconds to import.
_FEAST_S = 30.0

NO_DATABASE = "Nothing can be ingested, scored or reviewed without it."
NO_MLFLOW = "Published versions keep serving, but none can be trained, promoted or rolled back."
NO_ONLINE_STORE = "Scores are computed without stored features, and no leads are opened."
NO_STATE = "Workers wait: no features are computed and no leads are opened."


def store_checks(settings: Settings) -> list[Check]:
    """One check for each store of the settings."""
    feast_only = settings.online_store != "sqlite" and not _is_direct(settings)
    return [
        Check("database", lambda: check_database(settings), NO_DATABASE),
        Check("mlflow", lambda: check_mlflow(settings), NO_MLFLOW),
        Check(
            "online_store",
            lambda: check_online_store(settings),
            NO_ONLINE_STORE,
            **({"limit_s": _FEAST_S} if feast_only else {}),
        ),
        Check("state_store", lambda: check_state_store(settings), NO_STATE),
    ]


def check_database(settings: Settings) -> Finding:
    where = places.database(settings)
    migrate = "Run: leads migrate"
    if not database_exists(settings):
        return Finding("database", "warning", f"{where}. There is no database yet.", NO_DATABASE, migrate)
    engine = unchecked_engine(settings, timeout_s=ANSWER_S)
    try:
        revision = schema_revision(engine)
        if revision is None:
            return Finding("database", "warning", f"{where}. It has no tables yet.", NO_DATABASE, migrate)
        if revision < newest_revision():
            text = f"{where}. Its schema is at revision {revision}, this version needs {newest_revision()}."
            return Finding("database", "failed", text, NO_DATABASE, migrate)
        with reading(engine) as connection:
            version = connection.dialect.server_version_info or ()
    finally:
        engine.dispose()
    server = f"{version[0]}, " if engine.dialect.name == "postgresql" else ""
    return Finding("database", "ok", f"{where}, {server}schema revision {revision}")


def check_mlflow(settings: Settings) -> Finding:
    where, uri = places.mlflow(settings), settings.mlflow
    if uri.startswith(("http://", "https://")):
        return _mlflow_server(where, uri)
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        if not path.exists():
            return Finding("mlflow", "ok", f"{where}. There is no registry yet; the first training creates it.")
        revision = _read(path, "SELECT version_num FROM alembic_version")
        return Finding("mlflow", "ok", f"{where}, schema revision {revision}")
    if uri.startswith("postgresql"):
        engine = sa.create_engine(uri, connect_args={"connect_timeout": round(ANSWER_S)})
        try:
            with engine.connect() as connection:
                revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        except sa.exc.SQLAlchemyError as error:
            text = f"{where} can't be read ({type(error).__name__})."
            return Finding("mlflow", "failed", text, NO_MLFLOW, "Check LEADS_MLFLOW_URI and that the server runs.")
        finally:
            engine.dispose()
        return Finding("mlflow", "ok", f"{where}, schema revision {revision}")
    return Finding("mlflow", "warning", f"{where}. Addresses of this kind can't be checked.")


def _mlflow_server(where: str, uri: str) -> Finding:
    answer = answer_of(uri.rstrip("/") + "/health")
    remedy = "Check LEADS_MLFLOW_URI, and that the MLflow server is running."
    if answer.status is None:
        return Finding("mlflow", "failed", f"{where} {answer.text}.", NO_MLFLOW, remedy)
    if answer.status in (401, 403):
        text = f"{where} refuses access (HTTP {answer.status})."
        credentials = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        return Finding("mlflow", "failed", text, NO_MLFLOW, credentials)
    if answer.status != 200:
        return Finding("mlflow", "failed", f"{where} answered with HTTP {answer.status}.", NO_MLFLOW, remedy)
    return Finding("mlflow", "ok", f"{where}, answers")


def check_online_store(settings: Settings) -> Finding:
    where = places.online_store(settings)
    if settings.online_store == "sqlite":
        path = settings.features_dir / "online.db"
        if not path.exists():
            return Finding("online_store", "ok", f"{where}. It is empty; a worker fills it.")
        _read(path, "SELECT count(*) FROM sqlite_master")
        return Finding("online_store", "ok", where)
    if _is_direct(settings):
        return _redis("online_store", online_redis(settings), NO_ONLINE_STORE)
    store = open_online_store(settings)
    try:
        store.get([row_of(live_features(settings).layouts[0], ["none"])])
    finally:
        store.close()
    return Finding("online_store", "ok", f"{where}, answers")


def check_state_store(settings: Settings) -> Finding:
    where = places.state_store(settings)
    if settings.state_store == "redis":
        return _redis("state_store", redis_address(settings, "LEADS_STATE_STORE"), NO_STATE)
    if settings.state_store == "sqlite":
        files = sorted(settings.features_dir.glob("**/state-*of*.db"))
        for path in files:
            _read(path, "SELECT count(*) FROM sqlite_master")
        return Finding("state_store", "ok", where if files else f"{where}. It is empty; a worker fills it.")
    if settings.database.startswith("sqlite"):
        text = "LEADS_STATE_STORE is postgresql, but LEADS_DATABASE_URL isn't a PostgreSQL server."
        return Finding("state_store", "failed", text, NO_STATE, "Set LEADS_DATABASE_URL, or LEADS_STATE_STORE=sqlite.")
    engine = unchecked_engine(settings, timeout_s=ANSWER_S)
    try:
        with reading(engine) as connection:
            exists = sa.inspect(connection).has_table("fold_states")
    finally:
        engine.dispose()
    if not exists:
        return Finding("state_store", "warning", f"{where}. It has no tables yet.", NO_STATE, "Run: leads migrate")
    return Finding("state_store", "ok", where)


def _is_direct(settings: Settings) -> bool:
    return settings.online_store == "redis" and not settings.online_options


def _redis(check: str, address: RedisAddress, why: str) -> Finding:
    import redis

    client = redis_client(address, ANSWER_S)
    try:
        client.ping()
        try:
            info: dict[str, Any] = client.info()
        except redis.ResponseError:
            # This user may not ask.
            info = {}
    except (redis.RedisError, OSError) as error:
        refused = access_refused(error) or failed("Redis", address, error)
        return Finding(check, "failed", refused.message, why, refused.remedy or "")
    finally:
        client.close()
    where = f"Redis at {address.place}, version {info.get('redis_version', 'unknown')}"
    for wrong, text, remedy in _redis_problems(info):
        if wrong:
            return Finding(check, "failed" if "replica" in text else "warning", f"{where}. {text}", why, remedy)
    return Finding(check, "ok", where)


def _redis_problems(info: dict[str, Any]) -> list[tuple[bool, str, str]]:
    version = str(info.get("redis_version", "6.2")).split(".")[:2]
    policy = str(info.get("maxmemory_policy", "noeviction"))
    return [
        (info.get("role", "master") != "master", "It is a replica, which accepts no writes.", "Name the master."),
        (bool(info.get("loading")), "It is loading its data.", "Wait until it has loaded them."),
        (
            [int(part) for part in version if part.isdecimal()] < [*_REDIS],
            "It is older than 6.2, the first version that is supported.",
            "Use Redis 6.2 or newer.",
        ),
        (
            bool(info.get("maxmemory")) and policy != "noeviction",
            f"It deletes rows when its memory is full (maxmemory-policy {policy}).",
            "Set maxmemory-policy to noeviction.",
        ),
        (
            info.get("aof_enabled") == 0,
            "It has no append-only file, so a restart loses rows.",
            "Set appendonly to yes.",
        ),
    ]


def _read(path: Path, statement: str) -> object:
    """The first value of a query in an SQLite file, which is opened for reading only.

    Raises:
        LeadsError: the file can't be read, or is damaged.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=ANSWER_S)) as connection:
            row = connection.execute(statement).fetchone()
    except sqlite3.Error as error:
        raise LeadsError(
            f"The SQLite file can't be read: {error}.", field=str(path), remedy="Check its permissions, or restore it."
        ) from error
    return row[0] if row else None
