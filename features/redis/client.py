"""Makes clients of Redis from the address in LEADS_REDIS_URL, and says what is wrong when Redis fails."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from features.redis.address import RedisAddress
from leads.errors import ConfigurationError, Unavailable

_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


def redis_client(address: RedisAddress, timeout_s: float) -> Any:
    """A client that doesn't retry: a failed call would take several times the timeout, or take effect twice.

    Args:
        timeout_s: limit for connecting and for each read from the socket.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    retry = Retry(NoBackoff(), 0)
    arguments = {**timeouts, **address.options, "retry": retry, "protocol": 2}
    if address.master is not None:
        return _behind_sentinel(
            address, {**timeouts, **tls_options(address.options), "retry": retry, "protocol": 2}, arguments
        )
    host, port = address.nodes[0]
    return redis.Redis(host=host, port=port, **arguments)


def _behind_sentinel(address: RedisAddress, for_sentinel: Mapping[str, Any], for_server: Mapping[str, Any]) -> Any:
    """A client that asks the Sentinels where the server is each time it connects."""
    from redis.sentinel import Sentinel

    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        address.nodes, sentinel_kwargs={**for_sentinel, **address.sentinel}
    )
    return sentinel.master_for(address.master, **for_server)


def tls_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a server that are about TLS; they hold for its Sentinels too."""
    return {name: value for name, value in options.items() if name == "ssl" or name.startswith("ssl_")}


def check_files(address: RedisAddress) -> None:
    """Raises ConfigurationError if a file for TLS that the address names can't be read."""
    for name in _FILES:
        if name in address.options and not os.access(address.options[name], os.R_OK):
            raise ConfigurationError(
                f"{name}: {address.options[name]} doesn't exist or can't be read.",
                field="LEADS_REDIS_URL",
                remedy="Correct the path, or its permissions.",
            )


def failed(what: str, address: RedisAddress, error: BaseException, *, remedy: str = "") -> Unavailable:
    """What to raise if a call of Redis failed. It names the address, without the password.

    Args:
        what: what Redis is used for, to begin a sentence with.
        remedy: replaces the general one.
    """
    import redis

    happened = "refused a command" if isinstance(error, redis.ResponseError) else "did not respond"
    return access_refused(error) or Unavailable(
        f"{what} at {address.place} {happened} ({type(error).__name__}).",
        field="LEADS_REDIS_URL",
        remedy=remedy or "Check that it is running.",
    )


def access_refused(error: BaseException) -> Unavailable | None:
    """What to raise if Redis refused the password or a command; None if the error is another one."""
    import redis

    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthenticationWrongNumberOfArgsError):
        return Unavailable(
            "Redis refused the user name or password, or needs one.",
            field="LEADS_REDIS_URL",
            remedy="Set the right ones, for example LEADS_REDIS_URL=redis://user:password@host:6379/0",
        )
    if isinstance(error, redis.exceptions.NoPermissionError):
        return Unavailable(
            "Redis doesn't allow its user to run a command or to use a key.",
            field="LEADS_REDIS_URL",
            remedy="Check the user's permissions with ACL LIST.",
        )
    return None
