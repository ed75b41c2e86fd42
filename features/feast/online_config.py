"""Feast's configuration of the online store that the settings name. Feast itself is not imported here."""

from __future__ import annotations

from typing import Any

from features.redis_client import feast_address, is_url, redis_options
from leads.errors import ConfigurationError
from leads.settings import Settings

# The name of the Feast project: a prefix of its SQLite tables and a suffix of its Redis keys.
PROJECT = "leads"
_SQLITE_TYPE = "features.feast.guarded_sqlite.GuardedSqliteOnlineStore"


def online_config(settings: Settings) -> dict[str, Any]:
    """The `online_store` section of Feast's configuration.

    Raises:
        ConfigurationError: an option is missing or not allowed.
    """
    options = settings.online_options
    if settings.online_store == "sqlite":
        if options:
            raise ConfigurationError(
                "The sqlite online store takes no options; its file is in LEADS_HOME.",
                field="LEADS_ONLINE_STORE_OPTIONS",
                remedy="Unset it, or set LEADS_ONLINE_STORE to the store that the options are for.",
            )
        return {"type": _SQLITE_TYPE, "path": str(settings.features_dir / "online.db")}
    if "type" in options:
        raise ConfigurationError(
            "The options must not contain `type`.",
            field="LEADS_ONLINE_STORE_OPTIONS",
            remedy="Set the type with LEADS_ONLINE_STORE.",
        )
    if settings.online_store == "redis" and "connection_string" not in options:
        # With options, it may be a cluster, whose client has other arguments. Only Feast uses it.
        address = redis_address(settings, "LEADS_ONLINE_STORE", checked=not options)
        options = {"connection_string": address, **options}
    return {"type": settings.online_store, **options}


def check_stores(settings: Settings, *, with_state: bool) -> None:
    """Check what the settings say about the online store and, if asked, the state store, without connecting.

    Raises:
        ConfigurationError: an address or option is missing or invalid.
    """
    online_config(settings)
    if with_state and settings.state_store == "redis":
        redis_address(settings, "LEADS_STATE_STORE")


def redis_address(settings: Settings, needed_for: str, *, checked: bool = True) -> str:
    """The address in LEADS_REDIS_URL, in Feast's format.

    Args:
        needed_for: the variable that is set to `redis`, for the error.
        checked: whether it must be one server's, with options that are known; False: a URL must be valid.

    Raises:
        ConfigurationError: it is not set, or malformed.
    """
    if settings.redis_url is None:
        raise ConfigurationError(
            f"{needed_for} is redis, but LEADS_REDIS_URL is not set.",
            field="LEADS_REDIS_URL",
            remedy="Set it, for example LEADS_REDIS_URL=localhost:6379.",
        )
    address = settings.redis_url.get_secret_value()
    return feast_address(redis_options(address)) if checked or is_url(address) else address
