"""Immutable Parquet segments of feature rows, and the manifest that says which count and how far they reach.

A segment is written beside, made durable and renamed into place; then the manifest names it. Killed in between, the
segment is an orphan, which the next writer removes before it folds the same events again. Many small segments are
merged into one in the background: the merged one appears first, the small ones stay until every reader that may have
seen them is done, and a row that is met twice is the same row.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.fold.fold import WHOLE, Batch, Partition, ViewBatch
from features.layout import LAYOUT_OF, LAYOUTS
from leads.clock import Micros
from leads.errors import ConfigurationError
from leads.files import write_atomic, write_json

JOIN_KEYS = {
    "item": "subject_key",
    "account": "account_id",
    "parent": "parent_key",
    "bucket": "bucket_key",
    "device": "device_id",
}
TIMESTAMP = pa.timestamp("us", tz="UTC")
# To be raised when the fold counts something else in the same places.
_MEANING = 1
LAYOUT_HASH = hashlib.sha256(f"{_MEANING} {LAYOUTS!r}".encode()).hexdigest()[:12]
# So many neighbours of like size become one, unless that would be larger than this.
MERGED = 8
_LARGEST_BYTES = 256 * 1024 * 1024
_SMALLEST_BYTES = 64 * 1024
# How long a merged-away segment is kept for readers that had listed it.
GRACE_S = 600.0


def packed_name(view: str) -> str:
    """The packed row's feature name: one per view, since Feast joins views by column name."""
    return f"{view}_packed"


class Manifest(msgspec.Struct, frozen=True):
    """`offset`: events up to here are in the segments. `layout`: what their rows hold. `retired`: merged away, when."""

    offset: int = 0
    layout: str = LAYOUT_HASH
    segments: dict[str, tuple[str, ...]] = {}
    retired: dict[str, float] = {}


class StoredRow(NamedTuple):
    """A row read back: its entity, the event it came from, float32 bytes, its links."""

    key: str
    offset: int
    visible_at: Micros
    raw: bytes
    links: tuple[str | None, ...]


class Segments:
    """One partition's segments: `<view>/<partition>-<first offset>-<last offset>.parquet`. One process writes."""

    def __init__(self, folder: Path, partition: Partition = WHOLE, *, grace_s: float = GRACE_S) -> None:
        self.folder = folder
        self._grace_s = grace_s
        self._name = f"{partition.index}of{partition.count}"
        self._manifest_path = folder / f"manifest-{self._name}.json"
        self._lock = threading.Lock()

    def manifest(self) -> Manifest:
        """Raises ConfigurationError when the rows were packed by another layout or for other partitions."""
        if not self._manifest_path.exists():
            count = self._name.partition("of")[2]
            if any(not path.stem.endswith(f"of{count}") for path in self.folder.glob("manifest*.json")):
                raise self._other("for another number of partitions (LEADS_PARTITIONS)")
            return Manifest()
        manifest = msgspec.json.decode(self._manifest_path.read_bytes(), type=Manifest)
        if manifest.layout != LAYOUT_HASH:
            raise self._other("by another version of the features")
        return manifest

    def _other(self, how: str) -> ConfigurationError:
        return ConfigurationError(
            f"The feature rows were written {how}.",
            field=str(self.folder),
            remedy="Derive them again from the event log: leads worker --rebuild --once",
        )

    def prepare(self) -> Manifest:
        """Make the folders, and remove what a killed writer left behind."""
        manifest = self.manifest()
        for layout in LAYOUTS:
            view = self.folder / layout.view
            view.mkdir(parents=True, exist_ok=True)
            known = {*manifest.retired, *(f"{layout.view}/{name}" for name in manifest.segments.get(layout.view, ()))}
            if not (view / "empty.parquet").exists():
                # Feast can't read a folder without a file.
                write_segment(view / "empty.parquet", layout.view, ViewBatch())
            for path in view.glob(f"{self._name}-*.parquet"):
                if f"{layout.view}/{path.name}" not in known:
                    path.unlink()
        return manifest

    def write(self, batch: Batch, offset: int) -> Manifest:
        """Make the batch and the fact that events up to `offset` are folded durable."""
        first = self.manifest().offset + 1
        added: dict[str, str] = {}
        for view, rows in batch.items():
            if len(rows):
                added[view] = f"{self._name}-{first:012d}-{offset:012d}.parquet"
                write_segment(self.folder / view / added[view], view, rows)
        with self._lock:
            before = self.manifest()
            names = {view: (*before.segments.get(view, ()), name) for view, name in added.items()}
            manifest = msgspec.structs.replace(before, offset=offset, segments={**before.segments, **names})
            write_json(self._manifest_path, manifest)
        return manifest

    def compact(self) -> int:
        """Merge neighbours of like size, once per view, and remove what was merged away long ago; returns how many."""
        merged = sum(self._compact(layout.view) for layout in LAYOUTS)
        self._remove_retired()
        return merged

    def _compact(self, view: str) -> int:
        names = self.manifest().segments.get(view, ())
        run = _run_of_like_size([(self.folder / view / name).stat().st_size for name in names])
        if run is None:
            return 0
        old = names[run]
        name = f"{old[0].rpartition('-')[0]}-{old[-1].rpartition('-')[2]}"
        _merge([self.folder / view / part for part in old], self.folder / view / name)
        with self._lock:
            before = self.manifest()
            # The writer may have added behind the run meanwhile, never within it.
            kept = before.segments[view]
            segments = {**before.segments, view: (*kept[: run.start], name, *kept[run.stop :])}
            retired = {**before.retired, **{f"{view}/{part}": time.time() for part in old}}
            write_json(self._manifest_path, msgspec.structs.replace(before, segments=segments, retired=retired))
        return len(old)

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

    def newest(self, view: str) -> Iterator[StoredRow]:
        """The newest row of each entity: what the fold goes on from."""
        newest: dict[str, StoredRow] = {}
        for name in self.manifest().segments.get(view, ()):
            for row in read_newest(self.folder / view / name, view):
                newest[row.key] = row
        yield from newest.values()


def read_newest(path: Path, view: str) -> Iterator[StoredRow]:
    """The last row of each entity in one segment."""
    # Not read as a data set: the folders' names are no columns.
    table = pq.ParquetFile(path).read()
    last = {key: i for i, key in enumerate(table[JOIN_KEYS[view]].to_pylist())}
    taken = table.take(pa.array(list(last.values()), pa.int64()))
    width = LAYOUT_OF[view].width
    packed = taken[packed_name(view)].combine_chunks()
    values = packed.values.to_numpy().astype("<f4").reshape(len(packed), width)
    columns = [taken[name].to_pylist() for name in LAYOUT_OF[view].links]
    links = list(zip(*columns, strict=True)) if columns else [()] * len(last)
    offsets = taken["offset"].to_pylist()
    visible_at = taken["visible_at"].cast(pa.int64()).to_pylist()
    for i, key in enumerate(last):
        yield StoredRow(key, offsets[i], visible_at[i], values[i].tobytes(), links[i])


def write_segment(path: Path, view: str, rows: ViewBatch) -> None:
    """One segment, whole or absent."""
    table = _table(view, rows)
    write_atomic(path, lambda draft: pq.write_table(table, draft, compression="zstd"), temporary=_hidden(path))


def _hidden(path: Path) -> Path:
    """Outside the view's folder, where Feast would read it."""
    return path.parent.parent / f".{path.parent.name}-{path.name}.tmp"


def _table(view: str, rows: ViewBatch) -> pa.Table:
    layout = LAYOUT_OF[view]
    values = np.frombuffer(bytes(rows.raw), dtype="<f4")
    ends = np.arange(len(rows) + 1, dtype=np.int32) * layout.width
    columns = {
        JOIN_KEYS[view]: pa.array(rows.keys, pa.string()),
        "visible_at": pa.array(rows.visible_at, pa.int64()).cast(TIMESTAMP),
        "offset": pa.array(rows.offsets, pa.int64()),
        packed_name(view): pa.ListArray.from_arrays(pa.array(ends), pa.array(values, pa.float32())),
    }
    for i, name in enumerate(layout.links):
        columns[name] = pa.array([links[i] for links in rows.links], pa.string())
    return pa.table(columns)


def _run_of_like_size(sizes: list[int]) -> slice | None:
    """The first `MERGED` neighbours whose sizes differ less than `MERGED`-fold and whose sum isn't too large."""
    sizes = [max(size, _SMALLEST_BYTES) for size in sizes]
    for start in range(len(sizes) - MERGED + 1):
        run = sizes[start : start + MERGED]
        if max(run) < MERGED * min(run) and sum(run) <= _LARGEST_BYTES:
            return slice(start, start + MERGED)
    return None


def _merge(parts: list[Path], path: Path) -> None:
    """The rows of several segments in their order, a row group at a time."""

    def write(draft: Path) -> None:
        with pq.ParquetWriter(draft, pq.read_schema(parts[0]), compression="zstd") as writer:
            for part in parts:
                with pq.ParquetFile(part) as segment:
                    writer.write_table(segment.read())

    write_atomic(path, write, temporary=_hidden(path))
