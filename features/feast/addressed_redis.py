"""Feast's Redis online store, connected by `features.redis`: from any address, and with its errors translated.

Feast's own connection string can't hold IPv6 addresses or Sentinel's passwords, and Feast takes some passwords for
numbers. Feast loads this class by its dotted name, so its command line connects in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import redis
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig, RedisType
from pydantic import StrictStr

from features.redis.address import RedisAddress, parse_address
from features.redis.client import failed, redis_client, tls_options

_TIMEOUT_S = 60.0


class AddressedRedisOnlineStoreConfig(RedisOnlineStoreConfig):  # type: ignore[misc]
    """Feast's Redis configuration with `address`, as in LEADS_REDIS_URL, instead of `connection_string`."""

    type: Literal["features.feast.addressed_redis.AddressedRedisOnlineStore"] = (
        "features.feast.addressed_redis.AddressedRedisOnlineStore"
    )
    address: StrictStr


class AddressedRedisOnlineStore(RedisOnlineStore):  # type: ignore[misc]
    """Stores what Feast's class stores."""

    _client: Any = None
    _client_async: Any = None

    def _get_client(self, online_store_config: AddressedRedisOnlineStoreConfig) -> Any:
        if not self._client:
            self._client = _client(online_store_config)
        return self._client

    async def _get_client_async(self, online_store_config: AddressedRedisOnlineStoreConfig) -> Any:
        if not self._client_async:
            self._client_async = _async_client(online_store_config)
        return self._client_async

    def online_write_batch(self, config: Any, *args: Any, **kwargs: Any) -> None:
        with _translated(config.online_store):
            super().online_write_batch(config, *args, **kwargs)

    def online_read(self, config: Any, *args: Any, **kwargs: Any) -> Any:
        with _translated(config.online_store):
            return super().online_read(config, *args, **kwargs)

    def update(self, config: Any, *args: Any, **kwargs: Any) -> None:
        with _translated(config.online_store):
            super().update(config, *args, **kwargs)

    def teardown(self, config: Any, *args: Any, **kwargs: Any) -> None:
        with _translated(config.online_store):
            super().teardown(config, *args, **kwargs)


def _client(config: AddressedRedisOnlineStoreConfig) -> Any:
    address, options = _parsed(config)
    if config.redis_type == RedisType.redis_cluster:
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]
        return redis.RedisCluster(startup_nodes=nodes, **options)
    if config.redis_type == RedisType.redis_sentinel:
        # The master's name is an option of Feast's, unless the address names it.
        address = address._replace(master=address.master or config.sentinel_master)
    return redis_client(address, _TIMEOUT_S)


def _async_client(config: AddressedRedisOnlineStoreConfig) -> Any:
    from redis import asyncio

    address, options = _parsed(config)
    if config.redis_type == RedisType.redis_cluster:
        nodes = [asyncio.cluster.ClusterNode(host, port) for host, port in address.nodes]
        return asyncio.RedisCluster(startup_nodes=nodes, **options)
    if address.master or config.redis_type == RedisType.redis_sentinel:
        sentinel: Any = asyncio.Sentinel(  # type: ignore[no-untyped-call]
            address.nodes, sentinel_kwargs={**tls_options(options), **address.sentinel}, **options
        )
        return sentinel.master_for(address.master or config.sentinel_master)
    host, port = address.nodes[0]
    return asyncio.Redis(host=host, port=port, **options)


def _parsed(config: AddressedRedisOnlineStoreConfig) -> tuple[RedisAddress, dict[str, Any]]:
    address = parse_address(config.address, checked=False)
    return address, dict(address.options)


@contextmanager
def _translated(config: AddressedRedisOnlineStoreConfig) -> Iterator[None]:
    """Raises Unavailable instead of errors of the client."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise failed("The Redis online store", parse_address(config.address, checked=False), error) from error
