"""What the Redis state store needs of its server: connections, errors, settings, names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from features.redis.address import RedisAddress
from features.redis.client import failed, redis_client
from features.state.fence import names_of
from leads.errors import ConfigurationError, Unavailable

PREFIX = "leads:state:"
# A command that takes longer fails.
_TIMEOUT_S = 60.0


def connect(address: RedisAddress) -> Any:
    """A client of the server."""
    return redis_client(address, _TIMEOUT_S)


def clear(address: RedisAddress, features: int | None = None) -> None:
    """Delete the state of every partition.

    Args:
        features: number of the generation of features; None: of all.

    Raises:
        Unavailable: the server doesn't respond.
    """
    client = connect(address)
    try:
        with translated(address):
            for name in list(client.scan_iter(match=f"{PREFIX}*", count=10_000)):
                if features is None or _partition_of(name, features):
                    client.unlink(name)
    finally:
        client.close()


def _partition_of(name: bytes, features: int) -> bool:
    """Whether a key belongs to a partition of this generation of features."""
    begins = re.escape(PREFIX) + r"\{" + names_of(features) + r"\}"
    return re.match(begins.encode(), name) is not None


def check_eviction(client: Any) -> None:
    """Raises ConfigurationError if the server deletes keys that don't expire when its memory is full."""
    import redis

    try:
        memory = client.info("memory")
    except redis.ResponseError:
        # Not allowed to ask. A state that has been evicted is noticed in any case.
        return
    policy = str(memory.get("maxmemory_policy", ""))
    if memory.get("maxmemory") and policy.startswith("allkeys"):
        raise ConfigurationError(
            f"Redis deletes keys of the state when its memory is full (maxmemory-policy {policy}).",
            field="LEADS_REDIS_URL",
            remedy="Set maxmemory-policy to noeviction.",
        )


def damaged() -> Unavailable:
    """The error when something else than a worker has written to the keys of the state."""
    return Unavailable(
        "The worker's state in Redis is damaged.",
        field="LEADS_REDIS_URL",
        remedy=f"Stop the worker, delete the keys {PREFIX}* and start it again: it then folds all events again. Or run:"
        " leads worker --rebuild --once",
    )


@contextmanager
def translated(address: RedisAddress) -> Iterator[None]:
    """Raises Unavailable instead of errors of the client."""
    import redis

    try:
        yield
    except (redis.RedisError, OSError) as error:
        if "WRONGTYPE" in str(error):
            raise damaged() from error
        remedy = "Check that it is running, accepts writes and has free memory."
        raise failed("The Redis state store", address, error, remedy=remedy) from error
