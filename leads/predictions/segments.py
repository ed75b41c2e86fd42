"""The files of the prediction log: immutable Parquet segments by harm and day.

A segment appears under its name only when it is whole and on disk. The day is that of `at`, in UTC. Small segments are
merged into one (`leads.predictions.compaction`): the merged one is there before the small ones go, and none goes in its
first minutes. So a reader that lists once more after it has read misses nothing, and what it meets twice has one id.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leads import clock
from leads.clock import Micros
from leads.files import sync_folder, write_atomic
from leads.predictions.batch import SCHEMA

logger = logging.getLogger(__name__)

# The owner of merged segments, with which their names begin.
MERGED = "merged"
# A dictionary pays where few values repeat. Vectors, ids and hashes are packed as they are: half the time, fewer bytes.
_REPETITIVE = [
    *("type_id", "harm", "at", "scored_at", "took_us"),
    *("model_version", "role", "contract_hash", "tier", "source"),
]


def write_segment(
    folder: Path,
    name: str,
    table: pa.Table,
    *,
    compression: Literal["snappy", "zstd"] = "snappy",
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write a segment so that it is there as a whole or not at all, whenever power fails.

    Args:
        name: ends with `-<host>-<pid>-<start>-<seq>`, which tells a dead writer's leavings from a living one's.
        compression: what was just logged is packed the cheap way, what stays for long (`zstd`) in fewer bytes.
        notes: stand in the footer.

    Raises:
        OSError: the folder can't be written; nothing is left behind.
    """
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
        sync_folder(folder.parent.parent)
    raw = pa.BufferOutputStream()
    with pq.ParquetWriter(
        raw,
        table.schema,
        compression=compression,
        use_dictionary=_REPETITIVE,
        column_encoding={"vector.list.element": "BYTE_STREAM_SPLIT"},
        write_statistics=["at"],
        store_schema=False,
    ) as writer:
        writer.write_table(table)
        if notes:
            writer.add_key_value_metadata(notes)
    temporary = folder / f".{name}.parquet.tmp"
    write_atomic(folder / f"{name}.parquet", lambda draft: draft.write_bytes(raw.getvalue()), temporary=temporary)


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
        for path, table in _read_day(folder / f"harm={harm}" / f"day={day}").items():
            if table is None:
                logger.warning("prediction log: %s can't be read and is left out", path)
                unreadable.append(path)
            else:
                tables.append(table)
    table = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    if since is not None:
        table = table.filter(pc.field("at") >= since)
    if until is not None:
        table = table.filter(pc.field("at") < until)
    return Scanned(ordered_once(table), tuple(unreadable))


def _read_day(folder: Path) -> dict[Path, pa.Table | None]:
    """All segments of a folder, also while some are merged; None for what can't be read."""
    read: dict[Path, pa.Table | None] = {}
    gone: set[Path] = set()
    listings, again = 0, True
    while again:
        fresh = [path for path in sorted(folder.glob("*.parquet")) if path not in read]
        # What is gone, or was never listed, is in a merged segment: of this listing or of the next one.
        again = not listings or any(path.name.startswith(MERGED) for path in fresh)
        listings += 1
        for path in fresh:
            try:
                read[path] = read_segment(path)
            except FileNotFoundError:
                if path in gone:
                    read[path] = None
                gone.add(path)
                again = True
            except (OSError, KeyError, ValueError, pa.ArrowException):
                read[path] = None
    return read


def read_segment(path: Path) -> pa.Table:
    """One segment, its columns as in `SCHEMA`, also when it was written before there were some of them.

    Raises:
        FileNotFoundError: it was merged away.
        OSError, KeyError, ValueError, pyarrow.ArrowException: it can't be read, or is none.
    """
    with pq.ParquetFile(path) as segment:
        table = segment.read()
    if "took_us" not in table.column_names:
        table = table.append_column("took_us", pa.nulls(table.num_rows, pa.int64()))
    return table.select(SCHEMA.names).cast(SCHEMA)


def days(folder: Path, harm: str) -> list[str]:
    """The days (`2026-01-31`) of which the log holds predictions for a harm, oldest first."""
    return sorted(path.name.removeprefix("day=") for path in (folder / f"harm={harm}").glob("day=*"))


def unique_name(owner: str) -> str:
    """`<owner>-<host>-<pid>-<start>`: no other process, nor this one once more, comes to the same."""
    return f"{owner}-{host()}-{os.getpid()}-{time.time_ns() // 1_000_000}{secrets.token_hex(2)}"


def host() -> str:
    """This host as it stands in segment names."""
    return "".join(c for c in socket.gethostname() if c.isalnum()) or "host"


def ordered_once(table: pa.Table) -> pa.Table:
    """Ordered by `at`; of rows with one id the one scored first stays."""
    table = table.sort_by([("at", "ascending"), ("scored_at", "ascending"), ("prediction_id", "ascending")])
    ids = table["prediction_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(ids, return_index=True)
    return table if len(first) == len(table) else table.take(pa.array(np.sort(first)))
