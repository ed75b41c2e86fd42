"""Makes clients of Redis from Feast's connection strings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def redis_client(options: Mapping[str, Any], timeout_s: float) -> Any:
    """A client that doesn't retry: a failed call would take several times the timeout, or take effect twice.

    Args:
        options: arguments for `redis.Redis`.
        timeout_s: limit for connecting and for each read from the socket.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return redis.Redis(**(timeouts | dict(options)), retry=Retry(NoBackoff(), 0), protocol=2)


def redis_options(address: str) -> dict[str, Any]:
    """Parse `host:port[,name=value…]`, Feast's connection string, into arguments for `redis.Redis`.

    >>> redis_options("localhost:6379,db=1,ssl=true,password=secret")
    {'host': 'localhost', 'port': 6379, 'db': 1, 'ssl': True, 'password': 'secret'}
    """
    options: dict[str, Any] = {}
    for part in address.split(","):
        name, is_option, value = part.partition("=")
        if is_option:
            options[name] = _option(value)
        elif "host" not in options:
            host, _, port = part.partition(":")
            options |= {"host": host, "port": int(port or 6379)}
    return options


def _option(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
