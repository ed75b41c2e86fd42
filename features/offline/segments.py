"""Immutable Parquet segments of feature rows, and the manifest that lists the valid ones and the offset they reach.

A segment is written to a temporary file, made durable and renamed; then the manifest lists it. If the writer is killed
in between, the segment is an orphan: the next writer deletes it and folds the same events again. A background thread
merges small segments. The merged segment appears first, and the small ones stay until every reader that may have listed
them is done; a row that is read twice is the same row.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.declared.generations import live_features
from features.fold.fold import Batch, ViewBatch
from features.layout import Layout
from features.offline import dense
from features.partition import WHOLE, Partition
from leads.clock import Micros
from leads.errors import ConfigurationError
from leads.files import private_folder, read_json, write_atomic, write_json
from leads.settings import Settings

TIMESTAMP = pa.timestamp("us", tz="UTC")
_REMEDY = "Derive the feature rows again from the event log: leads worker --rebuild --once"
# Within a view's folder. Earlier releases wrote segments in another form, next to it (`features.offline.dense`).
_FOLDER = "packed"
# Number of adjacent segments of similar size that are merged into one, up to the maximum size below.
MERGED = 8
_LARGEST_BYTES, _SMALLEST_BYTES = 256 * 1024 * 1024, 64 * 1024
# Readers hold the rows of one row group in memory, about 0.3 KB each.
_ROWS_AT_ONCE = 16_384
# How long a merged segment's parts are kept for readers that have listed them.
GRACE_S = 600.0


class SegmentManifest(msgspec.Struct, frozen=True):
    """What the segments hold.

    Args:
        offset: of the last folded event.
        visible_at: when that event became visible; 0 if an earlier release wrote the manifest.
        layout: `FeatureSet.fingerprint` of the features.
        retired: when each merged part was replaced, in seconds since epoch.
    """

    offset: int = 0
    visible_at: Micros = 0
    layout: str = BUILTIN.fingerprint
    segments: dict[str, tuple[str, ...]] = {}
    retired: dict[str, float] = {}


class Segments:
    """One partition's segments, which only one process writes: `<view>/packed/<partition>-<first>-<last>.parquet`.

    `first` and `last` are the offsets of the events that they were folded from.

    Args:
        features: whose rows they hold.
        grace_s: how long merged segments are kept for their readers.
    """

    def __init__(
        self,
        folder: Path,
        partition: Partition = WHOLE,
        *,
        features: FeatureSet = BUILTIN,
        grace_s: float = GRACE_S,
    ) -> None:
        self.folder = folder
        self._features = features
        self._grace_s = grace_s
        self._name = f"{partition.index}of{partition.count}"
        self._manifest_path = folder / f"manifest-{self._name}.json"
        self._lock = threading.Lock()

    def manifest(self) -> SegmentManifest:
        """The manifest.

        Raises:
            ConfigurationError: the rows were written with another layout or number of partitions, or it is damaged.
        """
        if not self._manifest_path.exists():
            count = self._name.partition("of")[2]
            if any(not path.stem.endswith(f"of{count}") for path in self.folder.glob("manifest*.json")):
                raise self._mismatch("were written for another number of partitions (LEADS_PARTITIONS)")
            return SegmentManifest(layout=self._features.fingerprint)
        manifest = read_json(self._manifest_path, SegmentManifest, remedy=_REMEDY)
        if manifest.layout != self._features.fingerprint:
            raise self._mismatch("were written by another version of the features")
        return manifest

    def _mismatch(self, reason: str) -> ConfigurationError:
        return ConfigurationError(f"The feature rows {reason}.", field=str(self.folder), remedy=_REMEDY)

    def prepare(self) -> SegmentManifest:
        """Create the folders, and delete what a killed writer left behind."""
        manifest = self.manifest()
        known = {f"{view}/{name}" for view, names in manifest.segments.items() for name in names} | {*manifest.retired}
        for layout in self._features.layouts:
            folder = view_folder(self.folder, layout.view)
            private_folder(folder)
            if not (folder / "empty.parquet").exists():
                # Feast can't read a folder without files.
                write_segment(folder / "empty.parquet", layout, ViewBatch())
            for path in (self.folder / layout.view).rglob(f"{self._name}-*.parquet"):
                if path.relative_to(self.folder).as_posix() not in known:
                    path.unlink()
        return manifest

    def check_reaches(self, offset: int) -> None:
        """Raises ConfigurationError when segments are missing that the worker's state says it has written."""
        if self.manifest().offset < offset:
            raise self._mismatch("are older than the worker's state")

    def write(self, batch: Batch, offset: int, visible_at: Micros = 0) -> SegmentManifest:
        """Durably write the batch and record that events up to `offset` are folded.

        Args:
            visible_at: when the event at `offset` became visible.
        """
        first = self.manifest().offset + 1
        name = f"{_FOLDER}/{self._name}-{first:012d}-{offset:012d}.parquet"
        added = {view: name for view, rows in batch.items() if len(rows)}
        layouts = self._features.layout_of
        # While a file is encoded and written, other threads can run, so two files are written at a time.
        with ThreadPoolExecutor(2) as writers:
            list(writers.map(lambda view: write_segment(self.folder / view / name, layouts[view], batch[view]), added))
        with self._lock:
            before = self.manifest()
            names = {view: (*before.segments.get(view, ()), name) for view, name in added.items()}
            manifest = msgspec.structs.replace(
                before, offset=offset, visible_at=visible_at, segments={**before.segments, **names}
            )
            write_json(self._manifest_path, manifest)
        return manifest

    def compact(self) -> int:
        """Merge adjacent segments of similar size, once per view, and delete old parts; returns the number merged.

        Segments that an earlier release wrote in another form are rewritten first.
        """
        merged = sum(self._rewrite(layout) + self._compact(layout) for layout in self._features.layouts)
        self._remove_retired()
        return merged

    def _rewrite(self, layout: Layout) -> int:
        old = [name for name in self.manifest().segments.get(layout.view, ()) if not name.startswith(_FOLDER)]
        for name in old:
            self._replace(layout, (name,), f"{_FOLDER}/{name}")
        return len(old)

    def _compact(self, layout: Layout) -> int:
        names = self.manifest().segments.get(layout.view, ())
        run = _mergeable_run([(self.folder / layout.view / name).stat().st_size for name in names])
        if run is None:
            return 0
        old = names[run]
        self._replace(layout, old, f"{old[0].rpartition('-')[0]}-{old[-1].rpartition('-')[2]}")
        return len(old)

    def _replace(self, layout: Layout, old: tuple[str, ...], name: str) -> None:
        """Write adjacent segments as one, and list that instead."""
        view = layout.view
        _merge(layout, [self.folder / view / part for part in old], self.folder / view / name)
        with self._lock:
            before = self.manifest()
            # The writer may have added segments after these in the meantime, but never between them.
            kept, start = before.segments[view], before.segments[view].index(old[0])
            segments = {**before.segments, view: (*kept[:start], name, *kept[start + len(old) :])}
            retired = {**before.retired, **{f"{view}/{part}": time.time() for part in old}}
            write_json(self._manifest_path, msgspec.structs.replace(before, segments=segments, retired=retired))

    def _remove_retired(self) -> None:
        over = time.time() - self._grace_s
        gone = [name for name, at in self.manifest().retired.items() if at <= over]
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)
        if gone:
            with self._lock:
                before = self.manifest()
                retired = {name: at for name, at in before.retired.items() if name not in gone}
                write_json(self._manifest_path, msgspec.structs.replace(before, retired=retired))


def view_folder(segments: Path, view: str) -> Path:
    """The folder of a view's segments."""
    return segments / view / _FOLDER


def segments_of(settings: Settings, partition: Partition, features: FeatureSet | None = None) -> Segments:
    """A partition's segments.

    Args:
        features: whose rows they hold; by default, the live ones.
    """
    features = features or live_features(settings)
    return Segments(features.folder(settings) / "segments", partition, features=features)


def segment_files(settings: Settings, layout: Layout, features: FeatureSet) -> list[Path]:
    """The segments of a view, of all partitions, that are listed now.

    Raises:
        ConfigurationError: they were written with another layout or number of partitions.
    """
    every = [segments_of(settings, Partition(i, settings.partitions), features) for i in range(settings.partitions)]
    view = layout.view
    return [one.folder / view / name for one in every for name in one.manifest().segments.get(view, ())]


def write_segment(path: Path, layout: Layout, rows: ViewBatch) -> None:
    """Write one segment atomically."""
    table = _table(layout, rows)
    write_atomic(
        path,
        lambda draft: pq.write_table(table, draft, **_encoding(layout), row_group_size=_ROWS_AT_ONCE),
        temporary=_temporary_path(path),
    )


def _encoding(layout: Layout) -> dict[str, Any]:
    """How Parquet encodes the columns. A dictionary of the rows would take time and save nothing."""
    return {"compression": "zstd", "use_dictionary": [layout.join_key]}


def _temporary_path(path: Path) -> Path:
    """A path outside the view's folder, because Feast reads every file in there."""
    return path.parent.parent / f".{path.parent.name}-{path.name}.tmp"


def _table(layout: Layout, rows: ViewBatch) -> pa.Table:
    columns = {
        layout.join_key: pa.array(rows.keys, pa.string()),
        "visible_at": pa.array(rows.visible_at, pa.int64()).cast(TIMESTAMP),
        "offset": pa.array(rows.offsets, pa.int64()),
        layout.packed_name: pa.array(rows.rows, pa.binary()),
    }
    return pa.table(columns)


def _mergeable_run(sizes: list[int]) -> slice | None:
    """The first `MERGED` adjacent sizes that differ by less than a factor of `MERGED` and whose sum isn't too large."""
    sizes = [max(size, _SMALLEST_BYTES) for size in sizes]
    for start in range(len(sizes) - MERGED + 1):
        run = sizes[start : start + MERGED]
        if max(run) < MERGED * min(run) and sum(run) <= _LARGEST_BYTES:
            return slice(start, start + MERGED)
    return None


def _row_groups(layout: Layout, parts: list[Path]) -> Iterator[pa.Table]:
    """The rows of several segments in order, at most as many at a time as a row group should have."""
    waiting: list[pa.RecordBatch] = []
    for part in parts:
        with pq.ParquetFile(part) as segment:
            old = dense.is_dense(layout, segment.schema_arrow)
            for rows in segment.iter_batches(_ROWS_AT_ONCE):
                if waiting and sum(map(len, waiting)) + len(rows) > _ROWS_AT_ONCE:
                    yield pa.Table.from_batches(waiting)
                    waiting = []
                waiting += dense.as_stored(layout, pa.Table.from_batches([rows])).to_batches() if old else [rows]
    if waiting:
        yield pa.Table.from_batches(waiting)


def _merge(layout: Layout, parts: list[Path], path: Path) -> None:
    """Write the rows of several segments to one, in order, one row group at a time."""

    def write(draft: Path) -> None:
        schema = _table(layout, ViewBatch()).schema
        with pq.ParquetWriter(draft, schema, **_encoding(layout)) as writer:
            for table in _row_groups(layout, parts):
                writer.write_table(table)

    write_atomic(path, write, temporary=_temporary_path(path))


def stored_rows(layout: Layout, segment: pq.ParquetFile, group: int, which: npt.NDArray[np.int64]) -> list[bytes]:
    """Some rows of a row group in their stored form."""
    name = layout.packed_name
    if dense.is_dense(layout, segment.schema_arrow):
        table = segment.read_row_group(group, columns=[name, *layout.links]).take(pa.array(which))
        return dense.stored_rows(layout, table)
    rows: list[bytes] = segment.read_row_group(group, columns=[name])[name].take(pa.array(which)).to_pylist()
    return rows
