"""Which online store the settings name, and its reader: raw values by entity, in as few round trips as possible.

SQLite and Redis are read by their own layouts, without Feast; any other store of Feast through its SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from features.layout import Layout
from features.online.codec import PROJECT, Values, fields
from features.online.redis import RedisStore
from features.online.sqlite import SqliteStore
from leads.errors import ConfigurationError
from leads.settings import Settings

__all__ = ["PROJECT", "RedisStore", "SqliteStore", "Store", "Values", "fields", "online_config", "open_online_store"]

_SQLITE_TYPE = "features.feast.guarded_sqlite.GuardedSqliteOnlineStore"


class Store(Protocol):
    """Reads entities of one or more views. Thread-safe; it connects on the first read.

    `bounded`: a read ends by the store's own time-out, whatever the server does.
    """

    @property
    def bounded(self) -> bool: ...

    def get(self, wanted: Sequence[tuple[Layout, Sequence[str]]]) -> list[list[Values]]:
        """For each view the stored values of each entity, in the order asked for.

        Raises:
            Unavailable: the store doesn't answer, or not within LEADS_STORE_TIMEOUT_S.
        """
        ...

    def close(self) -> None: ...


def open_online_store(settings: Settings) -> Store:
    """The reader of the settings' online store.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """
    config = online_config(settings)
    if settings.online_store == "sqlite":
        return SqliteStore(config["path"], settings.store_timeout_s)
    if settings.online_store == "redis" and not settings.online_options:
        return RedisStore(config["connection_string"], settings.store_timeout_s)
    # A Redis with options may be a cluster, or behind a sentinel.
    from features.online.feast import FeastStore

    return FeastStore(settings)


def online_config(settings: Settings) -> dict[str, Any]:
    """Feast's `online_store` section.

    Raises:
        ConfigurationError: an option is missing or out of place.
    """
    options = settings.online_options
    if settings.online_store == "sqlite":
        if options:
            raise ConfigurationError(
                "The store sqlite takes no options; it lies below LEADS_HOME.",
                field="LEADS_ONLINE_STORE_OPTIONS",
                remedy="Unset it, or name the store it is for in LEADS_ONLINE_STORE.",
            )
        return {"type": _SQLITE_TYPE, "path": str(settings.features_dir / "online.db")}
    if "type" in options:
        raise ConfigurationError(
            "The options name a type.", field="LEADS_ONLINE_STORE_OPTIONS", remedy="Name it in LEADS_ONLINE_STORE."
        )
    if settings.online_store == "redis" and "connection_string" not in options:
        options = {"connection_string": _redis_address(settings), **options}
    return {"type": settings.online_store, **options}


def _redis_address(settings: Settings) -> str:
    if settings.redis_url is None:
        raise ConfigurationError(
            "LEADS_ONLINE_STORE is redis, but no address is given.",
            field="LEADS_REDIS_URL",
            remedy="For example LEADS_REDIS_URL=localhost:6379",
        )
    return settings.redis_url.get_secret_value()
