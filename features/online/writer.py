"""The online writer: writes each entity's newest row as Feast would, and never an older row over a newer one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from features.declared.feature_set import FeatureSet
from features.declared.generations import live_features
from features.feast.store import known_warnings_ignored, online_store_of, open_store
from features.fold.fold import Batch
from features.layout import Layout
from features.online.codec import bytes_value, entity_keys
from features.online.redis_writer import RedisWriter
from features.online.stores import direct_redis
from leads.clock import Micros, from_datetime, to_datetime
from leads.files import in_turn
from leads.settings import Settings

_CHUNK = 1_000

# Entity key, stored row, when its newest event became visible.
OnlineRow = tuple[str, bytes, Micros]
# A row with its key first and its time last.
TimedRow = TypeVar("TimedRow", bound=tuple[str, Any, Micros])
# Rows by view and entity key.
Newest = dict[str, dict[str, OnlineRow]]


class OnlineWriter:
    """Writes the newest row of each entity, in batches, into Feast's online store.

    Args:
        features: whose rows are written; by default, the live ones.
    """

    def __init__(self, settings: Settings, features: FeatureSet | None = None) -> None:
        self._features = features = features or live_features(settings)
        # Feast rewrites its registry file in place, so the workers of several partitions must not start at once.
        with in_turn(settings.features_dir / "registry.lock"):
            self._store = open_store(settings, apply=True, features=features)
            self._views = {layout.view: self._store.get_feature_view(layout.table) for layout in features.layouts}
        self._online = online_store_of(self._store)
        self._redis = RedisWriter(address) if (address := direct_redis(settings)) else None

    def write(self, newest: Newest) -> int:
        """Write each entity's row; returns the number of rows passed to the store.

        Items are written last, so a reader that follows an item's links finds the rows they point to.
        """
        return sum(
            self.write_view(layout, sorted(newest[layout.view].values(), key=_stored_order))
            for layout in reversed(self._features.layouts)
        )

    def write_view(self, layout: Layout, rows: Sequence[OnlineRow], *, without_links: bool = False) -> int:
        """Write rows of one view in order; rows older than the stored ones are dropped. Returns the number passed.

        Args:
            rows: may contain an entity more than once; the newest row wins.
            without_links: also remove what an earlier release stored besides the rows (`features.online.dense`).
        """
        for start in range(0, len(rows), _CHUNK):
            self._write_chunk(layout, rows[start : start + _CHUNK], without_links)
        return len(rows)

    def clear(self) -> None:
        """Remove every row from the online store. The values of own views stay, because no events give them back."""
        if self._features.views:
            self.remove()
            return
        entities = [self._store.get_entity(layout.view) for layout in self._features.layouts]
        self._online.teardown(self._store.config, list(self._views.values()), entities)
        self._store.registry.teardown()

    def remove(self) -> None:
        """Remove the rows, and what Feast knows of their views. Other generations of features stay."""
        names = {view.name for view in self._views.values()}
        links = [one for one in self._store.list_on_demand_feature_views() if one.name.removesuffix("_links") in names]
        with known_warnings_ignored():
            self._store.apply([], objects_to_delete=[*links, *self._views.values()], partial=False)

    def _write_chunk(self, layout: Layout, rows: Sequence[OnlineRow], without_links: bool) -> None:
        config, view = self._store.config, self._views[layout.view]
        if self._redis is not None:
            self._redis.write(layout, rows, without_links=without_links)
            return
        if hasattr(self._online, "write_rows"):
            self._online.write_rows(config, view, _raw(layout, rows), removed=layout.links if without_links else ())
            return
        # Feast's Redis store compares event times itself unless `skip_dedup` is set; other stores never do.
        if getattr(config.online_store, "skip_dedup", True):
            rows = not_older(self._online, config, view, layout, rows, layout.packed_name)
        if rows:
            self._online.online_write_batch(config, view, _protos(layout, rows), None)


def not_older(
    online: Any, config: Any, view: Any, layout: Layout, rows: Sequence[TimedRow], name: str
) -> list[TimedRow]:
    """The newest row of each entity, unless the stored one is newer at the store's own time resolution.

    Args:
        online, config, view: Feast's online store, its configuration, and the view that the rows are of.
        rows: with the key first and the time last.
        name: of a feature that each row has.
    """
    from feast.utils import make_tzaware

    newest: dict[str, TimedRow] = {}
    for row in rows:
        if row[0] not in newest or newest[row[0]][2] <= row[2]:
            newest[row[0]] = row
    stored = online.online_read(config, view, [entity_of(layout, key) for key in newest], [name])
    return [
        row
        for row, (event_time, values) in zip(newest.values(), stored, strict=True)
        if not values or event_time is None or from_datetime(make_tzaware(event_time)) <= row[2]
    ]


def collect(batch: Batch, into: Newest, *, after: int = 0) -> None:
    """Put each entity's last row of the batch into `into`, replacing an older one; only rows after an offset."""
    for view, rows in batch.items():
        newest = into[view]
        for key, i in {key: i for i, key in enumerate(rows.keys)}.items():
            if rows.offsets[i] > after:
                newest[key] = (key, rows.rows[i], rows.visible_at[i])


def _stored_order(row: OnlineRow) -> tuple[int, str]:
    """Sorts rows as their entity keys, which begin with the size: SQLite then writes neighbours to the same page."""
    return len(row[0]), row[0]


def _raw(layout: Layout, rows: Sequence[OnlineRow]) -> Iterator[tuple[bytes, str, bytes, str | None, Micros]]:
    keys, name = entity_keys(layout.join_key, [key for key, _, _ in rows]), layout.packed_name
    for key, (_, packed, at) in zip(keys, rows, strict=True):
        yield key, name, bytes_value(packed), None, at


def _protos(layout: Layout, rows: Sequence[OnlineRow]) -> list[tuple[Any, dict[str, Any], Any, None]]:
    """Entity key, values, event time and creation time, in the form that Feast's stores take."""
    from feast.protos.feast.types.Value_pb2 import Value

    name = layout.packed_name
    return [
        (entity_of(layout, key), {name: Value(bytes_val=packed)}, to_datetime(at), None) for key, packed, at in rows
    ]


def entity_of(layout: Layout, key: str) -> Any:
    """Feast's key of an entity."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=[layout.join_key], entity_values=[Value(string_val=key)])
