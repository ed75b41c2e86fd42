"""The files of the prediction log: immutable Parquet segments by harm and day.

A segment is written to a temporary file, made durable and renamed, so it is never seen half-written. Its day is that of
`at` in UTC. Small segments are merged (`leads.predictions.compaction`): the merged segment appears before its parts are
removed, and no segment is removed within minutes of its writing. A reader that lists the folder again after reading
therefore misses nothing; rows that it reads twice have the same id.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from leads import clock
from leads.clock import Micros
from leads.files import private_folder, sync_folder, write_atomic
from leads.predictions.batch import ADDED, SCHEMA

# The owner in the names of merged segments.
MERGED = "merged"
# Only columns with few distinct values get a dictionary: the others are smaller and take half the time without one.
_REPETITIVE = [
    *("type_id", "harm", "at", "scored_at", "took_us"),
    *("model_version", "role", "contract_hash", "tier", "source", "row_roles"),
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
    for left in (2, 1, 0):
        try:
            if not folder.is_dir():
                private_folder(folder)
                sync_folder(folder.parent)
                sync_folder(folder.parent.parent)
            write_atomic(
                folder / f"{name}.parquet", lambda draft: draft.write_bytes(raw.getvalue()), temporary=temporary
            )
            return
        except FileNotFoundError:
            # The folder was empty and old, and `leads prune` deleted it at this moment.
            if not left:
                raise


def read_segment(path: Path) -> pa.Table:
    """Read one segment. Columns that didn't exist when it was written are added, so that it matches `SCHEMA`.

    Raises:
        FileNotFoundError: it was merged and removed.
        OSError, KeyError, ValueError, pyarrow.ArrowException: it can't be read, or is not a segment.
    """
    with pq.ParquetFile(path) as segment:
        return in_schema(segment.read(), SCHEMA.names)


def in_schema(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The columns of a segment's rows as in `SCHEMA`, also those that didn't exist when it was written."""
    for name in ADDED:
        if name in columns and name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, SCHEMA.field(name).type))
    return table.select(columns).cast(pa.schema([SCHEMA.field(name) for name in columns]))


def days(folder: Path, harm: str) -> list[str]:
    """The days (`2026-01-31`) with predictions for a harm, oldest first."""
    return sorted(path.name.removeprefix("day=") for path in (folder / f"harm={harm}").glob("day=*"))


def day_of(at: Micros) -> str:
    """The day of a prediction's `at`, as `days` names it."""
    return clock.to_text(at)[:10]


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
