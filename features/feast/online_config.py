"""Feast's configuration of the online store that the settings name. Feast itself is not imported here."""

from __future__ import annotations

from typing import Any

from features.redis.address import RedisAddress, feast_address, parse_address
from features.redis.client import check_files
from leads.errors import ConfigurationError
from leads.settings import Settings

# The name of the Feast project: a prefix of its SQLite tables and a suffix of its Redis keys.
PROJECT = "leads"
_SQLITE_TYPE = "features.feast.guarded_sqlite.GuardedSqliteOnlineStore"
_REDIS_TYPE = "features.feast.addressed_redis.AddressedRedisOnlineStore"


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
    if settings.online_store == "redis":
        return _redis_config(settings, options)
    return {"type": settings.online_store, **options}


def _redis_config(settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    """Feast's Redis store with a client of ours: Feast misreads IPv6 addresses, and passwords such as `1e5`."""
    address, options = options.get("connection_string"), {k: v for k, v in options.items() if k != "connection_string"}
    if address is None:
        redis_address(settings, "LEADS_ONLINE_STORE", checked=not options)
        address = redis_url(settings)
    if options.get("client") == "glide":
        # Its client reads the connection string itself.
        return {"type": "redis", "connection_string": feast_address(parse_address(address, checked=False)), **options}
    return {"type": _REDIS_TYPE, "address": address, **options}


def check_stores(settings: Settings, *, with_state: bool) -> None:
    """Check what the settings say about the online store and, if asked, the state store, without connecting.

    Raises:
        ConfigurationError: an address or option is missing or invalid.
    """
    online_config(settings)
    if with_state and settings.state_store == "redis":
        redis_address(settings, "LEADS_STATE_STORE")


def redis_address(settings: Settings, needed_for: str, *, checked: bool = True) -> RedisAddress:
    """The address in LEADS_REDIS_URL.

    Args:
        needed_for: the variable that is set to `redis`, for the error.
        checked: whether its options must be known; False: it may be a cluster's.

    Raises:
        ConfigurationError: it is not set, malformed, or names a file that can't be read.
    """
    if settings.redis_url is None:
        raise ConfigurationError(
            f"{needed_for} is redis, but LEADS_REDIS_URL is not set.",
            field="LEADS_REDIS_URL",
            remedy="Set it, for example LEADS_REDIS_URL=localhost:6379.",
        )
    address = parse_address(redis_url(settings), checked=checked)
    check_files(address)
    return address


def online_redis(settings: Settings) -> RedisAddress:
    """Where the online store's Redis is, whether LEADS_REDIS_URL or Feast's options say so.

    Raises:
        ConfigurationError: as `online_config`.
    """
    config = online_config(settings)
    return parse_address(config.get("address") or config["connection_string"], checked=False)


def redis_url(settings: Settings) -> str:
    """The text of LEADS_REDIS_URL, with the password; empty if it isn't set."""
    return settings.redis_url.get_secret_value() if settings.redis_url else ""
