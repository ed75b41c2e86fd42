"""Where a platform keeps what: addresses of its stores, without any credentials in them."""

from __future__ import annotations

import shlex

from features.feast.online_config import online_redis, redis_address
from leads.db.engine import database_url
from leads.environment.addresses import shown, without_credentials
from leads.errors import LeadsError
from leads.settings import Settings

_DIALECTS = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
_HOME = "in the home"
# MLflow would open in its view for generative AI.
_EXPERIMENTS = "#/experiments?workflowType=machine_learning"


def database(settings: Settings) -> str:
    """The database's kind and address."""
    url = database_url(settings)
    kind = _DIALECTS[url.get_backend_name()]
    if kind == "SQLite":
        return kind if settings.database_url is None else f"{kind}, {url.database}"
    if "@" in (url.host or "") + (url.database or ""):
        # A password that isn't percent-encoded moves the end of the address: what follows may be a part of it.
        return f"{kind} at …"
    host = url.host or "localhost"
    where = shown(host, url.port) if url.port else f"[{host}]" if ":" in host else host
    return f"{kind} at {where}/{url.database or ''}"


def online_store(settings: Settings) -> str:
    """The online store's kind and, if it is Redis, its address. Options of other stores may be secrets."""
    if settings.online_store == "sqlite":
        return f"SQLite, {_HOME}"
    if settings.online_store != "redis":
        return f"{settings.online_store}, through Feast"
    try:
        return f"Redis at {online_redis(settings).place}"
    except LeadsError as error:
        return error.message


def state_store(settings: Settings) -> str:
    """Where workers keep their state."""
    if settings.state_store == "sqlite":
        return f"SQLite, {_HOME}"
    if settings.state_store == "postgresql":
        return "PostgreSQL, in the database"
    try:
        return f"Redis at {redis_address(settings, 'LEADS_STATE_STORE').place}"
    except LeadsError as error:
        return error.message


def mlflow(settings: Settings) -> str:
    """MLflow's address.

    >>> from leads.settings import Settings
    >>> mlflow(Settings(mlflow_uri="https://user:secret@mlflow.example.com:8443/models?token=secret"))
    'https://mlflow.example.com:8443/models'
    """
    if settings.mlflow_uri is None:
        return f"SQLite, {_HOME}"
    return without_credentials(settings.mlflow)


def mlflow_pages(settings: Settings) -> str:
    """Where to see runs and versions: a command, or the server's address.

    >>> from leads.settings import Settings
    >>> mlflow_pages(Settings(mlflow_uri="https://user:secret@mlflow.example.com/"))
    'https://mlflow.example.com/#/experiments?workflowType=machine_learning'
    """
    if settings.mlflow_uri is None:
        return f"mlflow ui --backend-store-uri {shlex.quote(settings.mlflow)}"
    address = mlflow(settings)
    known = address.startswith("http") and "…" not in address
    return f"{address.rstrip('/')}/{_EXPERIMENTS}" if known else address


def mlflow_opens(settings: Settings) -> str:
    """Where to look once the command of `mlflow_pages` runs; empty if that is an address itself."""
    return "" if settings.mlflow_uri else f", on http://127.0.0.1:5000/{_EXPERIMENTS}"
