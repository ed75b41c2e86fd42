"""The files of the prediction log: immutable Parquet segments by harm and day.

A segment appears under its name only when it is whole and on disk. The day is that of `at`, in UTC.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leads import clock
from leads.clock import Micros
from leads.records import Tier

logger = logging.getLogger(__name__)

# A segment is written in one go: a temporary file untouched for this long has lost its writer.
_TORN_AFTER_S = 600.0

SCHEMA = pa.schema(
    [
        pa.field("prediction_id", pa.string(), nullable=False),
        pa.field("type_id", pa.string(), nullable=False),
        pa.field("subject_id", pa.string(), nullable=False),
        pa.field("harm", pa.string(), nullable=False),
        pa.field("at", pa.int64(), nullable=False),
        pa.field("scored_at", pa.int64(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("contract_hash", pa.string(), nullable=False),
        pa.field("vector", pa.list_(pa.float32()), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("tier", pa.string(), nullable=False),
        pa.field("row_at", pa.list_(pa.int64()), nullable=False),
        pa.field("links", pa.list_(pa.string()), nullable=False),
        pa.field("text_hash", pa.uint64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)


class Prediction(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One scoring act. Times are µs since epoch.

    Args:
        prediction_id: the same act logged twice has the same id, and is read once.
        at: the instant the features were evaluated at; `scored_at`: the wall clock when it happened.
        vector: (m,) float32, the booster's exact input, in the order of the version's `input_names`.
        row_at: per role of stored rows, when the row behind its features became visible, 0 when there was none.
        links: the keys by which rows beside the subject's own were found, None where there was none.
        text_hash: `leads.text.text_hash` of the text that was judged, 0 when there was none.
    """

    prediction_id: str
    type_id: str
    subject_id: str
    harm: str
    at: Micros
    scored_at: Micros
    model_version: str
    contract_hash: str
    vector: npt.NDArray[np.float32]
    score: float
    tier: Tier
    row_at: tuple[Micros, ...]
    links: tuple[str | None, ...]
    text_hash: int
    source: Literal["api", "worker"]
    role: str = "champion"


def write_segment(folder: Path, name: str, rows: list[Prediction]) -> None:
    """Write a segment so that it is there as a whole or not at all, whenever power fails.

    `name` ends with `-<host>-<pid>-<start>-<seq>`, which tells a dead writer's leavings from a living one's.

    Raises:
        OSError: the folder can't be written; nothing is left behind.
    """
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _fsync(folder.parent)
        _fsync(folder.parent.parent)
    temporary = folder / f".{name}.parquet.tmp"
    try:
        with temporary.open("wb") as out:
            pq.write_table(_table(rows), out, compression="zstd")
            out.flush()
            os.fsync(out.fileno())
        temporary.rename(folder / f"{name}.parquet")
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _fsync(folder)


class Scanned(NamedTuple):
    """What the log holds, and the segments that could not be read."""

    table: pa.Table
    unreadable: tuple[Path, ...]


def read_predictions(folder: Path, harm: str, since: Micros | None = None, until: Micros | None = None) -> pa.Table:
    """The predictions of a harm with since ≤ `at` < until, each once, ordered by `at`; columns as in `SCHEMA`.

    Segments that can't be read are left out with a warning in the log; `scan_predictions` also returns them.
    """
    return scan_predictions(folder, harm, since, until).table


def scan_predictions(folder: Path, harm: str, since: Micros | None = None, until: Micros | None = None) -> Scanned:
    """Like `read_predictions`, and says which segments could not be read."""
    first = clock.to_text(since)[:10] if since is not None else ""
    last = clock.to_text(until)[:10] if until is not None else "9999-99-99"
    tables: list[pa.Table] = []
    unreadable: list[Path] = []
    for day in (day for day in days(folder, harm) if first <= day <= last):
        for path in sorted((folder / f"harm={harm}" / f"day={day}").glob("*.parquet")):
            try:
                with pq.ParquetFile(path) as segment:
                    tables.append(segment.read().cast(SCHEMA))
            except (OSError, ValueError, pa.ArrowException):
                logger.warning("prediction log: %s can't be read and is left out", path)
                unreadable.append(path)
    table = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    if since is not None:
        table = table.filter(pc.field("at") >= since)
    if until is not None:
        table = table.filter(pc.field("at") < until)
    return Scanned(_ordered_once(table), tuple(unreadable))


def days(folder: Path, harm: str) -> list[str]:
    """The days (`2026-01-31`) of which the log holds predictions for a harm, oldest first."""
    return sorted(path.name.removeprefix("day=") for path in (folder / f"harm={harm}").glob("day=*"))


def remove_torn(folder: Path) -> int:
    """Remove temporary files whose writer is gone; returns how many."""
    removed = 0
    for path in folder.glob("harm=*/day=*/.*.parquet.tmp"):
        with contextlib.suppress(OSError, ValueError):
            if _writer_is_gone(path):
                path.unlink()
                removed += 1
    return removed


def _writer_is_gone(path: Path) -> bool:
    if time.time() - path.stat().st_mtime > _TORN_AFTER_S:
        return True
    _, writer_host, pid, _, _ = path.name.rsplit("-", 4)
    if writer_host != host():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    return False


def host() -> str:
    """This host as it stands in segment names."""
    return "".join(c for c in socket.gethostname() if c.isalnum()) or "host"


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _table(rows: list[Prediction]) -> pa.Table:
    columns = [
        _vectors(rows) if field.name == "vector" else pa.array([getattr(row, field.name) for row in rows], field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _vectors(rows: list[Prediction]) -> pa.Array:
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([len(row.vector) for row in rows], out=offsets[1:])
    values = np.concatenate([row.vector for row in rows]).astype(np.float32, copy=False)
    return pa.ListArray.from_arrays(offsets, values)


def _ordered_once(table: pa.Table) -> pa.Table:
    """Ordered by `at`; of rows with one id the one scored first stays."""
    table = table.sort_by([("at", "ascending"), ("scored_at", "ascending"), ("prediction_id", "ascending")])
    ids = table["prediction_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(ids, return_index=True)
    return table if len(first) == len(table) else table.take(pa.array(np.sort(first)))
