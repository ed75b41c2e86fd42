"""Opens the online store that the settings name for reading.

SQLite and Redis are read directly, without Feast; Feast's other online stores are read through its SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from features.feast.online_config import online_config, redis_url
from features.online.codec import Column, Wanted
from features.online.redis import RedisStore
from features.online.sqlite import SqliteStore
from leads.settings import Settings


class Store(Protocol):
    """Reads entities of one or more views. Thread-safe; connects on the first read.

    `bounded`: every read ends within the store's own timeout, even if the server hangs.
    """

    @property
    def bounded(self) -> bool: ...

    def get(self, wanted: Sequence[Wanted]) -> list[list[Column]]:
        """For each view, the stored values of each feature, in the order requested. An entity's come from one write.
        If `timed`, their event times follow as another column.

        Raises:
            Unavailable: the store failed, or did not respond within LEADS_STORE_TIMEOUT_S.
        """
        ...

    def close(self) -> None: ...


def open_online_store(settings: Settings) -> Store:
    """A reader for the online store of the settings.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """
    config = online_config(settings)
    if settings.online_store == "sqlite":
        return SqliteStore(config["path"], settings.store_timeout_s)
    if address := direct_redis(settings):
        return RedisStore(address, settings.store_timeout_s)
    # Importing Feast is slow.
    from features.online.feast import FeastStore

    return FeastStore(settings)


def direct_redis(settings: Settings) -> str | None:
    """The address of the Redis that we read and write without Feast; None if the online store isn't one.

    Redis with options may be a cluster or sit behind Sentinel, so Feast's client reads and writes it.
    """
    if settings.online_store != "redis" or settings.online_options:
        return None
    online_config(settings)
    return redis_url(settings)
