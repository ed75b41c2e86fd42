"""Immutable Parquet segments of feature rows, and the manifest that says which count and how far they reach.

A segment is written beside, made durable and renamed into place; then the manifest names it. Killed in between, the
segment is an orphan, which the next writer removes before it folds the same events again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.fold import Batch, Links, ViewBatch
from features.rows import ITEM, LAYOUTS
from leads.clock import Micros
from leads.errors import ConfigurationError
from leads.files import write_atomic, write_json

JOIN_KEYS = {"item": "subject_key", "account": "account_id", "parent": "parent_key"}
TIMESTAMP = pa.timestamp("us", tz="UTC")
LAYOUT_HASH = hashlib.sha256(repr(LAYOUTS).encode()).hexdigest()[:12]


def packed_name(view: str) -> str:
    """The packed row's feature name: one per view, since Feast joins views by column name."""
    return f"{view}_packed"


class Manifest(msgspec.Struct, frozen=True):
    """`offset`: events up to here are in the segments. `layout`: what their rows hold."""

    offset: int = 0
    layout: str = LAYOUT_HASH
    segments: dict[str, tuple[str, ...]] = {}


class StoredRow(NamedTuple):
    """A row read back: its entity, the event it came from, float32 bytes, an item's links."""

    key: str
    offset: int
    visible_at: Micros
    raw: bytes
    links: Links


class Segments:
    """The segments below one folder: `<view>/<first offset>-<last offset>.parquet`. One process writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifest_path = folder / "manifest.json"

    def manifest(self) -> Manifest:
        """Raises ConfigurationError when the rows were packed by another layout."""
        if not self._manifest_path.exists():
            return Manifest()
        manifest = msgspec.json.decode(self._manifest_path.read_bytes(), type=Manifest)
        if manifest.layout != LAYOUT_HASH:
            raise ConfigurationError(
                "The feature rows were written by another version of the features.",
                field=str(self.folder),
                remedy="Derive them again from the event log: leads worker --rebuild --once",
            )
        return manifest

    def prepare(self) -> Manifest:
        """Make the folders, and remove what a killed writer left behind."""
        manifest = self.manifest()
        for layout in LAYOUTS:
            view = self.folder / layout.view
            view.mkdir(parents=True, exist_ok=True)
            known = set(manifest.segments.get(layout.view, ()))
            if not known:
                # Feast can't read a folder without a file.
                write_segment(view / "empty.parquet", layout.view, ViewBatch())
                known.add("empty.parquet")
            for orphan in view.iterdir():
                if orphan.name not in known:
                    orphan.unlink()
        return manifest

    def write(self, batch: Batch, offset: int) -> Manifest:
        """Make the batch and the fact that events up to `offset` are folded durable."""
        before = self.manifest()
        names = dict(before.segments)
        for view, rows in batch.items():
            if len(rows):
                name = f"{before.offset + 1:012d}-{offset:012d}.parquet"
                write_segment(self.folder / view / name, view, rows)
                names[view] = (*names.get(view, ()), name)
        manifest = Manifest(offset=offset, segments=names)
        write_json(self._manifest_path, manifest)
        return manifest

    def newest(self, view: str) -> Iterator[StoredRow]:
        """The newest row of each entity: what the fold goes on from."""
        newest: dict[str, StoredRow] = {}
        for name in self.manifest().segments.get(view, ()):
            table = pq.read_table(self.folder / view / name)
            keys = table[JOIN_KEYS[view]].to_pylist()
            last = {key: i for i, key in enumerate(keys)}
            taken = table.take(pa.array(list(last.values()), pa.int64()))
            packed = taken[packed_name(view)].combine_chunks()
            width = len(packed.values) // max(len(packed), 1)
            values = packed.values.to_numpy().astype("<f4").reshape(len(packed), width)
            links = _read_links(taken, view)
            offsets = taken["offset"].to_pylist()
            visible_at = taken["visible_at"].cast(pa.int64()).to_pylist()
            for i, key in enumerate(last):
                newest[key] = StoredRow(key, offsets[i], visible_at[i], values[i].tobytes(), links[i])
        yield from newest.values()


def write_segment(path: Path, view: str, rows: ViewBatch) -> None:
    """One segment, whole or absent."""
    table = _table(view, rows)
    hidden = path.parent.parent / f".{view}-{path.name}.tmp"
    write_atomic(path, lambda draft: pq.write_table(table, draft, compression="zstd"), temporary=hidden)


def _table(view: str, rows: ViewBatch) -> pa.Table:
    values = np.frombuffer(bytes(rows.raw), dtype="<f4")
    width = len(values) // max(len(rows), 1)
    ends = np.arange(len(rows) + 1, dtype=np.int32) * width
    columns = {
        JOIN_KEYS[view]: pa.array(rows.keys, pa.string()),
        "visible_at": pa.array(rows.visible_at, pa.int64()).cast(TIMESTAMP),
        "offset": pa.array(rows.offsets, pa.int64()),
        packed_name(view): pa.ListArray.from_arrays(pa.array(ends), pa.array(values, pa.float32())),
    }
    if view == ITEM.view:
        columns["item_account"] = pa.array([links.account_id for links in rows.links], pa.string())
        columns["item_parent"] = pa.array([links.parent_key for links in rows.links], pa.string())
    return pa.table(columns)


def _read_links(table: pa.Table, view: str) -> list[Links]:
    if view != ITEM.view:
        return [Links()] * table.num_rows
    return [
        Links(account_id, parent_key)
        for account_id, parent_key in zip(
            table["item_account"].to_pylist(), table["item_parent"].to_pylist(), strict=True
        )
    ]
