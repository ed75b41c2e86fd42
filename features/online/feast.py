"""Reads any Feast online store through Feast's SDK. Tests compare the direct readers with this one.

Importing Feast takes seconds, so `open_online_store` imports this module only when it is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from features.feast.store import import_feast, online_store_of, open_store
from features.feast.values import timestamp
from features.layout import Layout
from features.online.codec import Column, Wanted
from leads.clock import from_datetime
from leads.errors import LeadsError, Unavailable
from leads.settings import Settings

# Stores send one statement or request per chunk; SQLite allows 32,766 variables in one.
_CHUNK = 5_000


class FeastStore:
    """Reads through `OnlineStore.online_read`, one call at a time: Feast doesn't document its stores as thread-safe."""

    # Timeouts differ by store, and some stores have none.
    bounded = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._store: Any = None
        self._online: Any = None
        self._views: dict[str, Any] = {}

    def get(self, wanted: Sequence[Wanted]) -> list[list[Column]]:
        with self._lock:
            try:
                return [self._get(one) for one in wanted]
            except LeadsError:
                raise
            # Every store raises its own exception types, and Feast adds more.
            except Exception as error:
                raise Unavailable(
                    f"Can't read the online store {self._settings.online_store} ({type(error).__name__}).",
                    field="LEADS_ONLINE_STORE",
                    remedy="Check that it is running and that the worker has written to it: leads worker",
                ) from error

    def _get(self, wanted: Wanted) -> list[Column]:
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value
        from feast.utils import make_tzaware

        (layout, keys, names, timed), view = wanted, self._view(wanted.layout)
        found: list[list[bytes | None]] = [[] for _ in range(len(names) + timed)]
        for start in range(0, len(keys), _CHUNK):
            entities = [
                EntityKey(join_keys=[layout.join_key], entity_values=[Value(string_val=key)])
                for key in keys[start : start + _CHUNK]
            ]
            for at, values in self._online.online_read(self._store.config, view, entities, list(names)):
                for column, name in zip(found, names, strict=False):
                    column.append(_serialised((values or {}).get(name)))
                if timed:
                    found[-1].append(None if at is None or not values else timestamp(from_datetime(make_tzaware(at))))
        return [*found]

    def _view(self, layout: Layout) -> Any:
        if self._store is None:
            import_feast()
            store = open_store(self._settings)
            self._online, self._store = online_store_of(store), store
        if layout.table not in self._views:
            self._views[layout.table] = self._store.get_feature_view(layout.table)
        return self._views[layout.table]

    def close(self) -> None:
        with self._lock:
            self._store = self._online = None
            self._views = {}


def _serialised(value: Any) -> bytes | None:
    return None if value is None else value.SerializeToString()
