"""What scoring passes to the prediction log: columns, in one batch per call, harm and version."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from leads.clock import Micros
from leads.events import Subject
from leads_client.fields import Tier

SCHEMA = pa.schema(
    [
        pa.field("prediction_id", pa.string(), nullable=False),
        pa.field("type_id", pa.string(), nullable=False),
        pa.field("subject_id", pa.string(), nullable=False),
        pa.field("harm", pa.string(), nullable=False),
        pa.field("at", pa.int64(), nullable=False),
        pa.field("scored_at", pa.int64(), nullable=False),
        # Null in rows that were logged before this column existed.
        pa.field("took_us", pa.int64()),
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
        # Null in rows that were logged before this column existed.
        pa.field("row_roles", pa.string()),
    ]
)
# Columns that older segments may lack.
ADDED = ("took_us", "row_roles")


class PredictionBatch(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The results of one scoring call for n subjects under one harm by one version. Times are µs since epoch.

    The log keeps lists and arrays by reference and converts them later in its own thread, so they must not be changed.

    Args:
        at: the time as of which features were evaluated; `scored_at`: the wall-clock time of the call.
        took_us: how long the call took until the scores were computed, in µs.
        prediction_ids: n ids; the same prediction logged twice has the same id and is read once.
        vectors: (n, m) float32, the booster's exact input, in the order of the version's `input_names`.
        scores: (n,) float64.
        row_at: (n, roles) int64: when the stored row behind a role's features became visible, 0 if there was none.
        row_roles: the names of these roles, joined with commas; None if they aren't known.
        links: n tuples of the keys by which the rows of other roles were found, None where there was none.
        text_hashes: n times `leads.text.text_hash` of the scored text, 0 if there was none.

    Raises:
        ValueError: the columns differ in length.
    """

    harm: str
    model_version: str
    contract_hash: str
    source: Literal["api", "worker"]
    at: Micros
    scored_at: Micros
    took_us: int
    prediction_ids: Sequence[str]
    subjects: Sequence[Subject]
    vectors: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    tiers: Sequence[Tier]
    row_at: npt.NDArray[np.int64]
    links: Sequence[tuple[str | None, ...]]
    text_hashes: Sequence[int]
    role: str = "champion"
    row_roles: str | None = None

    def __post_init__(self) -> None:
        n = len(self.prediction_ids)
        lengths = [len(self.subjects), len(self.scores), len(self.tiers), len(self.links), len(self.text_hashes)]
        if any(length != n for length in lengths) or self.vectors.shape[:-1] != (n,) or self.row_at.shape[:-1] != (n,):
            shapes = f"{lengths}, vectors {self.vectors.shape}, row_at {self.row_at.shape}"
            raise ValueError(f"columns of a batch of {n} predictions differ in length: {shapes}")

    def __len__(self) -> int:
        return len(self.prediction_ids)


def to_table(batches: Sequence[PredictionBatch]) -> pa.Table:
    """The rows of one or more batches as a table with `SCHEMA`.

    Raises:
        ValueError, TypeError, OverflowError: a value doesn't fit its column.
    """
    batch_of = pa.array(np.repeat(np.arange(len(batches)), [len(batch) for batch in batches]))

    def listed(name: str, kind: pa.DataType) -> pa.Array:
        return pa.array(list(chain.from_iterable(getattr(batch, name) for batch in batches)), kind)

    def repeated(name: str) -> pa.Array:
        return pa.array([getattr(batch, name) for batch in batches], SCHEMA.field(name).type).take(batch_of)

    subjects = [subject for batch in batches for subject in batch.subjects]
    columns = {
        "prediction_id": listed("prediction_ids", pa.string()),
        "type_id": pa.array([type_id for type_id, _ in subjects], pa.string()),
        "subject_id": pa.array([subject_id for _, subject_id in subjects], pa.string()),
        "vector": _lists([batch.vectors for batch in batches], np.float32),
        "score": pa.array(np.concatenate([batch.scores for batch in batches]), pa.float64()),
        "tier": listed("tiers", pa.string()),
        "row_at": _lists([batch.row_at for batch in batches], np.int64),
        "links": _links([links for batch in batches for links in batch.links]),
        "text_hash": listed("text_hashes", pa.uint64()),
    }
    return pa.Table.from_arrays(
        [columns[name] if name in columns else repeated(name) for name in SCHEMA.names], schema=SCHEMA
    )


def _lists(matrices: Sequence[npt.NDArray[Any]], kind: type[np.generic]) -> pa.Array:
    """The rows of matrices as lists; the matrices may differ in width."""
    widths = np.repeat([matrix.shape[1] for matrix in matrices], [len(matrix) for matrix in matrices])
    values = np.concatenate([matrix.ravel() for matrix in matrices]).astype(kind, copy=False)
    return pa.ListArray.from_arrays(_offsets(widths), pa.array(values))


def _links(links: Sequence[tuple[str | None, ...]]) -> pa.Array:
    values = pa.array(list(chain.from_iterable(links)), pa.string())
    return pa.ListArray.from_arrays(_offsets([len(one) for one in links]), values)


def _offsets(lengths: npt.ArrayLike) -> pa.Array:
    return pa.array(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32))
