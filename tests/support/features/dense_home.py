"""Turns a home's feature rows into the form in which earlier releases stored them (`features.*.dense`)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from features.declared.builtin import BUILTIN, ITEM, LAYOUTS
from features.feast.online_config import PROJECT
from features.feast.values import varint
from features.layout import Layout
from features.offline.segments import Segments, view_folder
from features.online.codec import entity_key, row_in
from features.online.dense import float_list_value
from features.online.mark import mark_path
from features.online.presence import presence_key
from features.online.redis import field_names
from features.partition import WHOLE
from features.redis.address import redis_options
from features.rows import links_in, unpack
from leads.settings import Settings

# Earlier releases had no such row.
_PRESENCE = entity_key(ITEM.join_key, presence_key(WHOLE))


def make_dense(settings: Settings) -> None:
    """Rewrite online rows, segments and marks as an earlier release left them; it had no usable state either."""
    if settings.online_store == "redis":
        assert settings.redis_url is not None
        _redis_rows(settings.redis_url.get_secret_value())
    else:
        _sqlite_rows(settings.features_dir / "online.db")
    _segments(settings.features_dir / "segments")
    for path in settings.features_dir.glob("state-*"):
        path.unlink()
    mark = msgspec.json.decode(mark_path(settings, WHOLE, BUILTIN).read_bytes(), type=dict[str, int])
    for name in ("form", "started_at", "present"):
        del mark[name]
    mark_path(settings, WHOLE, BUILTIN).write_bytes(msgspec.json.encode(mark))


def string_value_of(text: str | None) -> bytes:
    """A serialised `Value` holding a string; empty, which is Feast's null, for None."""
    if text is None:
        return b""
    raw = text.encode()
    return b"\x12" + varint(len(raw)) + raw


def dense_left(settings: Settings) -> int:
    """The number of stored values that only an earlier release would have written."""
    with closing(sqlite3.connect(settings.features_dir / "online.db")) as connection:
        rows = [
            (layout, name, row_in(layout, value))
            for layout in LAYOUTS
            for name, value in connection.execute(f"SELECT feature_name, value FROM {PROJECT}_{layout.view}")
        ]
    return sum(row is None or name != layout.packed_name for layout, name, row in rows)


def _values(layout: Layout, value: bytes) -> dict[str, bytes]:
    row = row_in(layout, value)
    assert row is not None
    links = zip(layout.links, links_in(layout, row), strict=True)
    cells = float_list_value(unpack(layout, [row]).tobytes())
    return {layout.packed_name: cells, **{name: string_value_of(link) for name, link in links}}


def _sqlite_rows(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DELETE FROM {PROJECT}_{ITEM.view} WHERE entity_key = ?", (_PRESENCE,))
        for layout in LAYOUTS:
            table = f"{PROJECT}_{layout.view}"
            stored = connection.execute(f"SELECT entity_key, value, event_ts, event_us FROM {table}").fetchall()
            connection.execute(f"DELETE FROM {table}")
            for key, value, ts, us in stored:
                connection.executemany(
                    f"INSERT INTO {table} (entity_key, feature_name, value, event_ts, event_us) VALUES (?, ?, ?, ?, ?)",
                    [(key, name, dense, ts, us) for name, dense in _values(layout, value).items()],
                )


def _redis_rows(address: str) -> None:
    with closing(redis.Redis(**redis_options(address))) as client:
        assert client.delete(_PRESENCE + PROJECT.encode())
        for layout in LAYOUTS:
            (field,) = field_names(layout.view, (layout.packed_name,))
            for key in client.scan_iter():
                stored: Any = client.hget(key, field)  # type: ignore[arg-type]
                if stored is not None:
                    values = _values(layout, stored)
                    names = field_names(layout.view, tuple(values))
                    client.hset(key, mapping=dict(zip(names, values.values(), strict=True)))  # type: ignore[arg-type]


def _segments(folder: Path) -> None:
    segments = Segments(folder)
    manifest = segments.manifest()
    listed: dict[str, tuple[str, ...]] = {}
    for layout in LAYOUTS:
        names = []
        for name in manifest.segments.get(layout.view, ()):
            table = pq.read_table(folder / layout.view / name)
            rows = table[layout.packed_name].to_pylist()
            ends = np.arange(len(rows) + 1, dtype=np.int32) * layout.width
            cells = pa.array(unpack(layout, rows).ravel(), pa.float32())
            table = table.drop_columns([layout.packed_name])
            table = table.append_column(layout.packed_name, pa.ListArray.from_arrays(pa.array(ends), cells))
            for i, link in enumerate(layout.links):
                table = table.append_column(link, pa.array([links_in(layout, row)[i] for row in rows], pa.string()))
            names.append(Path(name).name)
            pq.write_table(table, folder / layout.view / names[-1])
        listed[layout.view] = tuple(names)
        for path in view_folder(folder, layout.view).iterdir():
            path.unlink()
    path = folder / "manifest-0of1.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, segments=listed, retired={})))
