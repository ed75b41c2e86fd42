"""What was logged, as arrays, and how far the segments reach that it is compared with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.engine import Engine

from features.fold.fold import Partition
from features.fold.router import Links
from features.layout import Instants, Matrix
from features.offline.segments import Segments
from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.events import Subject
from leads.settings import Settings

_ALL: Micros = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Logged:
    """n predictions of one shape.

    Args:
        at: (n,) µs; `row_at`: (n, roles) µs, 0 for no row.
        vector: (n, m) float32.
        text_hash: n hashes, 0 for no text.
    """

    subjects: list[Subject]
    ids: list[str]
    at: Instants
    row_at: Instants
    links: list[Links]
    vector: Matrix
    text_hash: list[int]

    def __len__(self) -> int:
        return len(self.subjects)

    @property
    def newest(self) -> Instants:
        """(n,) the instant up to which rows must be known: `at`, or that of a row ahead of it."""
        needed: Instants = np.maximum(self.at, self.row_at.max(axis=1))
        return needed

    def only(self, rows: npt.NDArray[np.intp]) -> Logged:
        """Some of them."""
        return Logged(
            [self.subjects[i] for i in rows],
            [self.ids[i] for i in rows],
            self.at[rows],
            self.row_at[rows],
            [self.links[i] for i in rows],
            self.vector[rows],
            [self.text_hash[i] for i in rows],
        )


def logged(table: pa.Table) -> Logged:
    """From a table of the prediction log whose lists are of equal length each."""
    subjects = zip(table["type_id"].to_pylist(), table["subject_id"].to_pylist(), strict=True)
    return Logged(
        subjects=[Subject(*one) for one in subjects],
        ids=table["prediction_id"].to_pylist(),
        at=table["at"].to_numpy().astype(np.int64),
        row_at=_lists(table, "row_at"),
        links=[Links(*one) for one in table["links"].to_pylist()],
        vector=_lists(table, "vector"),
        text_hash=table["text_hash"].to_pylist(),
    )


def sampled(table: pa.Table, size: int) -> pa.Table:
    """At most `size` predictions, chosen by a hash of their ids, in the table's order."""
    if table.num_rows <= size:
        return table
    hashes = (hashlib.blake2b(one.encode(), digest_size=8).digest() for one in table["prediction_id"].to_pylist())
    chosen = sorted(i for _, i in nsmallest(size, ((digest, i) for i, digest in enumerate(hashes))))
    return table.take(pa.array(chosen, pa.int64()))


def by_version(table: pa.Table) -> list[tuple[str, pa.Table]]:
    """Each version's predictions under one contract and of one shape, in order."""
    shapes = [pc.list_value_length(table[name]).cast(pa.string()) for name in ("vector", "row_at", "links")]
    keys = pc.binary_join_element_wise(table["model_version"], table["contract_hash"], *shapes, "\0")
    versions = table["model_version"].to_pylist()
    rows: dict[str, list[int]] = {}
    for i, key in enumerate(keys.to_pylist()):
        rows.setdefault(key, []).append(i)
    return [(versions[some[0]], table.take(pa.array(some))) for _, some in sorted(rows.items())]


def segments_reach(settings: Settings, engine: Engine) -> Micros:
    """Rows that became visible up to this instant are in every partition's segments.

    Raises:
        ConfigurationError: the segments hold rows of another layout, or for another number of partitions.
    """
    count = settings.partitions
    folder = settings.features_dir / "segments"
    offset = min(Segments(folder, Partition(i, count)).manifest().offset for i in range(count))
    with reading(engine) as connection:
        if offset >= event_log.head(connection).offset:
            return _ALL
        return event_log.visible_at(connection, offset)


def _lists(table: pa.Table, name: str) -> Any:
    values = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(table.num_rows, -1)
