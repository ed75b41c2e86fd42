"""What is kept of the predictions of an hour: a sketch of each numeric column, and counts of categories."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from monitoring.summaries.sketch import Sketch, merged

SCORE = "score"
# Categories that every summary has; those of texts and declared fields are counted on a sample of the subjects.
TIER = "tier"
NOT_FLAGGED = "none"
# How columns are called that are derived from others: the share of rows that are flagged, and `<input> is missing`.
FLAGGED = "flagged"
MISSING = " is missing"


@dataclass(frozen=True)
class Summary:
    """Rows, one for each subject that was scored in the hour, with its latest prediction.

    A subject counts once an hour, not once a prediction: a busy subject is scored at each of its events, would outweigh
    quiet ones, and its rows are all but equal.

    Args:
        rows: number of subjects.
        predictions: number of predictions.
        columns: the model's inputs by name, and `score`.
        categories: counts of values by the name of what was counted, such as `tier`, `language`, or a declared field.
        by_tier: for each tier, its number of rows and the sum of their scores: what the scores promise.
    """

    rows: int
    predictions: int
    columns: Mapping[str, Sketch] = field(default_factory=dict)
    categories: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    by_tier: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def flagged(self) -> tuple[int, int]:
        """The number of rows whose tier asks for a review or an action, and of all that have a tier."""
        tiers = self.categories.get(TIER, {})
        rows = sum(tiers.values())
        return rows - tiers.get(NOT_FLAGGED, 0), rows


EMPTY = Summary(0, 0)


def merge(summaries: Iterable[Summary]) -> Summary:
    """The summary of all hours together. A column that some of them lack has the rows of the others."""
    found = list(summaries)
    if len(found) == 1:
        return found[0]
    columns: dict[str, list[Sketch]] = {}
    categories: dict[str, Counter[str]] = {}
    tiers: dict[str, tuple[int, float]] = {}
    for one in found:
        for name, sketch in one.columns.items():
            columns.setdefault(name, []).append(sketch)
        for name, counts in one.categories.items():
            categories.setdefault(name, Counter()).update(counts)
        for tier, (n, total) in one.by_tier.items():
            before = tiers.get(tier, (0, 0.0))
            tiers[tier] = (before[0] + n, before[1] + total)
    return Summary(
        sum(one.rows for one in found),
        sum(one.predictions for one in found),
        {name: merged(sketches) for name, sketches in columns.items()},
        categories,
        tiers,
    )


class _Column(msgspec.Struct, array_like=True):
    missing: int
    keys: bytes
    counts: bytes
    total: float
    squares: float


class _Packed(msgspec.Struct, array_like=True):
    format: int
    rows: int
    predictions: int
    columns: dict[str, _Column]
    categories: dict[str, dict[str, int]]
    by_tier: dict[str, tuple[int, float]]


_FORMAT = 1
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


def pack(summary: Summary) -> bytes:
    """The summary as bytes, as `prediction_summaries` stores it."""
    columns = {
        name: _Column(
            one.missing,
            one.keys.astype("<i2").tobytes(),
            one.counts.astype("<u4").tobytes(),
            one.total,
            one.squares,
        )
        for name, one in summary.columns.items()
    }
    categories = {name: dict(counts) for name, counts in summary.categories.items()}
    packed = _Packed(_FORMAT, summary.rows, summary.predictions, columns, categories, dict(summary.by_tier))
    return zlib.compress(_encoder.encode(packed), 1)


def unpack(raw: bytes) -> Summary:
    """The inverse of `pack`.

    Raises:
        ValueError: the bytes aren't a summary that this release can read.
    """
    try:
        packed = _decoder.decode(zlib.decompress(raw))
        columns = {name: _sketch(column) for name, column in packed.columns.items()}
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"not a summary of predictions: {error}") from error
    if packed.format != _FORMAT:
        raise ValueError(f"a summary of format {packed.format}, which this release doesn't know")
    return Summary(packed.rows, packed.predictions, columns, packed.categories, packed.by_tier)


def _sketch(column: _Column) -> Sketch:
    keys = np.frombuffer(column.keys, "<i2").astype(np.int16)
    counts = np.frombuffer(column.counts, "<u4").astype(np.int64)
    if len(keys) != len(counts):
        raise ValueError("not a summary of predictions: a column's buckets and counts differ in number")
    return Sketch(column.missing, keys, counts, column.total, column.squares)
