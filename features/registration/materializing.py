"""Writes the newest values of own views from their Parquet sources to the online store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.feast.store import online_store_of, open_store
from features.feast.values import value_of
from features.online.codec import entity_keys
from features.online.redis_writer import RedisWriter
from features.online.stores import direct_redis
from features.online.writer import entity_of, not_older
from features.views.history import Rows, count_rows, read_rows
from features.views.layout import OwnView
from leads import clock
from leads.clock import Clock, Micros, to_datetime
from leads.errors import NotFound
from leads.settings import Settings

_CHUNK = 1_000
OnProgress = Callable[[int, int], None]
Ints = npt.NDArray[np.int64]
# Entity key, serialised value of each column, timestamp.
ValueRow = tuple[str, list[bytes], Micros]


def materialize(
    settings: Settings,
    views: Sequence[OwnView],
    *,
    on_progress: OnProgress = lambda done, total: None,
    clock_: Clock = clock.now,
) -> int:
    """Write the newest values of each entity, unless the stored ones are newer; running it again changes nothing.

    Rows that aren't available yet are left out.

    Args:
        on_progress: called with the number of rows read and their total, of all views together.

    Returns:
        The number of rows read.

    Raises:
        NotFound: a Parquet source is missing, or a view isn't registered in Feast.
        ConfigurationError: a source isn't valid. If its columns aren't as declared, nothing was written.
        Unavailable: the online store failed.
    """
    total, done, now = sum(count_rows(view.name, view.declaration) for view in views), 0, clock_()
    for view in views:
        write = _writer(settings, view)
        for rows in read_rows(view.name, view.declaration):
            chosen = _newest(rows, now)
            for start in range(0, len(chosen), _CHUNK):
                write(_encoded(view, rows, chosen[start : start + _CHUNK]))
            done += len(rows.at)
            on_progress(done, total)
    return done


def _newest(rows: Rows, now: Micros) -> Ints:
    """The newest row of each entity that is available."""
    codes = rows.keys.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    there = np.flatnonzero((rows.at <= now) & (rows.available <= now))
    order = there[np.lexsort((there, rows.available[there], rows.at[there], codes[there]))]
    is_last = np.append(np.diff(codes[order]) != 0, True)[: len(order)]
    newest: Ints = order[is_last]
    return newest


def _encoded(view: OwnView, rows: Rows, chosen: Ints) -> list[ValueRow]:
    which = pa.array(chosen)
    table, keys = rows.table.take(which), rows.keys.take(which).to_pylist()
    columns = view.declaration.columns
    values = [[value_of(one.dtype, x) for x in table[name].to_pylist()] for name, one in columns.items()]
    return [(key, list(row), at) for key, at, *row in zip(keys, rows.at[chosen].tolist(), *values, strict=True)]


def _writer(settings: Settings, view: OwnView) -> Callable[[list[ValueRow]], None]:
    """What writes rows of a view to the settings' online store."""
    if address := direct_redis(settings):
        redis = RedisWriter(address)
        return lambda rows: redis.write_values(view, view.columns, rows)
    store = open_store(settings)
    config, online = store.config, online_store_of(store)
    registered = [one for one in store.list_feature_views() if one.name == view.name]
    if not registered:
        raise NotFound(f"The view {view.name} isn't registered in Feast.", remedy="Run: leads features apply")
    (feast_view,) = registered
    if hasattr(online, "write_rows"):
        return lambda rows: online.write_rows(config, feast_view, _raw(view, rows))

    def through_feast(rows: list[ValueRow]) -> None:
        newer = not_older(online, config, feast_view, view, rows, view.columns[0])
        if newer:
            online.online_write_batch(config, feast_view, _protos(view, newer), None)

    return through_feast


def _raw(view: OwnView, rows: Sequence[ValueRow]) -> list[tuple[bytes, str, bytes, None, Micros]]:
    keys = entity_keys(view.join_key, [key for key, _, _ in rows])
    return [
        (key, name, value, None, at)
        for key, (_, values, at) in zip(keys, rows, strict=True)
        for name, value in zip(view.columns, values, strict=True)
    ]


def _protos(view: OwnView, rows: Sequence[ValueRow]) -> list[tuple[Any, dict[str, Any], Any, None]]:
    from feast.protos.feast.types.Value_pb2 import Value

    return [
        (
            entity_of(view, key),
            {name: Value.FromString(value) for name, value in zip(view.columns, values, strict=True)},
            to_datetime(at),
            None,
        )
        for key, values, at in rows
    ]
