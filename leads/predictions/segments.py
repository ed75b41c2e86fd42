"""The files of the prediction log: immutable Parquet segments by harm and day.

A segment is written to a temporary file, made durable and renamed, so it is never seen half-written. Its day is that of
`at` in UTC. Small segments are merged (`leads.predictions.compaction`): the merged segment appears before its parts are
removed, and no segment is removed within minutes of its writing. A reader that lists the folder again after reading
therefore misses nothing; rows that it reads twice have the same id.
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
from leads.files import private_folder, sync_folder, write_atomic
from leads.predictions.batch import SCHEMA

logger = logging.getLogger(__name__)

# The owner in the names of merged segments.
MERGED = "merged"
# Only columns with few distinct values get a dictionary: the others are smaller and take half the time without one.
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
    """Write a segment atomically and durably.

    Args:
        name: ends with `-<host>-<pid>-<start>-<seq>`, by which files of a dead writer are recognised.
        compression: `snappy` is fast, for new rows; `zstd` is smaller, for rows that stay.
        notes: key-value metadata for the footer.

    Raises:
        OSError: the folder can't be written to; no file is left behind.
    """
    if not folder.is_dir():
        private_folder(folder)
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
    """The log's rows, and the segments that could not be read."""

    table: pa.Table
    unreadable: tuple[Path, ...]


def read_predictions(folder: Path, harm: str, since: Micros | None = None, until: Micros | None = None) -> pa.Table:
    """A harm's predictions with since ≤ `at` < until, each once, ordered by `at`; columns as in `SCHEMA`.

    Unreadable segments are skipped with a warning in the log; `scan_predictions` also returns them.
    """
    return scan_predictions(folder, harm, since, until).table


def scan_predictions(folder: Path, harm: str, since: Micros | None = None, until: Micros | None = None) -> Scanned:
    """Like `read_predictions`, but also returns the segments that could not be read."""
    first = clock.to_text(since)[:10] if since is not None else ""
    last = clock.to_text(until)[:10] if until is not None else "9999-99-99"
    tables: list[pa.Table] = []
    unreadable: list[Path] = []
    for day in (day for day in days(folder, harm) if first <= day <= last):
        for path, table in _read_day(folder / f"harm={harm}" / f"day={day}").items():
            if table is None:
                logger.warning("prediction log: %s can't be read and is skipped", path)
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
    """All segments of a folder, also while some are being merged; None for those that can't be read."""
    read: dict[Path, pa.Table | None] = {}
    gone: set[Path] = set()
    listings, again = 0, True
    while again:
        fresh = [path for path in sorted(folder.glob("*.parquet")) if path not in read]
        # Rows of segments that are gone or weren't listed are in a merged segment, listed now or the next time.
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
    """Read one segment. Columns that didn't exist when it was written are added, so that it matches `SCHEMA`.

    Raises:
        FileNotFoundError: it was merged and removed.
        OSError, KeyError, ValueError, pyarrow.ArrowException: it can't be read, or is not a segment.
    """
    with pq.ParquetFile(path) as segment:
        table = segment.read()
    if "took_us" not in table.column_names:
        table = table.append_column("took_us", pa.nulls(table.num_rows, pa.int64()))
    return table.select(SCHEMA.names).cast(SCHEMA)


def days(folder: Path, harm: str) -> list[str]:
    """The days (`2026-01-31`) with predictions for a harm, oldest first."""
    return sorted(path.name.removeprefix("day=") for path in (folder / f"harm={harm}").glob("day=*"))


def unique_name(owner: str) -> str:
    """`<owner>-<host>-<pid>-<start><random>`, which no other process uses, nor this one after a restart."""
    return f"{owner}-{host()}-{os.getpid()}-{time.time_ns() // 1_000_000}{secrets.token_hex(2)}"


def host() -> str:
    """This host's name as used in segment names."""
    return "".join(c for c in socket.gethostname() if c.isalnum()) or "host"


def ordered_once(table: pa.Table) -> pa.Table:
    """The rows ordered by `at`; of rows with the same id, only the one scored first."""
    table = table.sort_by([("at", "ascending"), ("scored_at", "ascending"), ("prediction_id", "ascending")])
    ids = table["prediction_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(ids, return_index=True)
    return table if len(first) == len(table) else table.take(pa.array(np.sort(first)))
