"""Mergeable summaries of columns: how many values fell into which bucket.

Buckets are logarithmic: every value in a bucket is within 4% of the bucket's middle, so that any quantile of a merged
sketch is, too (Masson, Rim and Lee, DDSketch, VLDB 2019). They depend on nothing: sketches of any host, version and
time can be added up. Values closer to 0 than 0.0001 are 0. Sums are exact, so means are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.int16]
Values = npt.NDArray[np.float64]

GAMMA = 1.08
SMALLEST = 1e-4
# The highest bucket; the values beyond, about 1e30, count as being in it.
_TOP = 1_020
_LOG_GAMMA = float(np.log(GAMMA))
_SHIFT = 1 - round(float(np.log(SMALLEST)) / _LOG_GAMMA)


@dataclass(frozen=True, eq=False)
class Sketch:
    """The distribution of one column.

    Args:
        missing: rows without a value: NaN or infinite.
        keys: (b,) the buckets that have values, ascending; a bucket of negative values has a negative key, and 0 is
            that of values near 0.
        counts: (b,) their numbers of values.
        total, squares: sums of the values and of their squares.
    """

    missing: int
    keys: Keys
    counts: Ints
    total: float
    squares: float

    @property
    def n(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    @property
    def rows(self) -> int:
        """The number of rows, with and without a value."""
        return self.n + self.missing

    @property
    def mean(self) -> float:
        """NaN without values."""
        return self.total / self.n if self.n else float("nan")

    @property
    def deviation(self) -> float:
        """The standard deviation of the values; NaN without any."""
        return float(np.sqrt(max(self.squares / self.n - self.mean**2, 0.0))) if self.n else float("nan")

    def quantile(self, q: float) -> float:
        """The middle of the bucket in which the quantile is; NaN without values."""
        if not self.n:
            return float("nan")
        place = np.searchsorted(np.cumsum(self.counts), q * self.n)
        return float(middles(self.keys)[min(int(place), len(self.keys) - 1)])


EMPTY = Sketch(0, np.empty(0, np.int16), np.empty(0, np.int64), 0.0, 0.0)


def buckets(values: Values) -> Keys:
    """The bucket of each value; the values must be finite."""
    size = np.abs(values)
    with np.errstate(divide="ignore"):
        key = np.rint(np.log(size) / _LOG_GAMMA) + _SHIFT
    key = np.where(size < SMALLEST, 0.0, np.clip(key, 1, _TOP))
    signed: Keys = (key * np.sign(values)).astype(np.int16)
    return signed


def middles(keys: Keys) -> Values:
    """The value that stands for each bucket."""
    size = np.exp((np.abs(keys.astype(np.float64)) - _SHIFT) * _LOG_GAMMA)
    found: Values = np.where(keys == 0, 0.0, np.sign(keys) * size)
    return found


def sketch(values: Values) -> Sketch:
    """The sketch of a column.

    Args:
        values: (n,) NaN or infinite where missing.
    """
    known = values[np.isfinite(values)]
    keys, counts = np.unique(buckets(known), return_counts=True)
    return Sketch(len(values) - len(known), keys, counts.astype(np.int64), float(known.sum()), float(known @ known))


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """The sketch of all rows together."""
    found = list(sketches)
    if len(found) == 1:
        return found[0]
    if not found:
        return EMPTY
    places = np.concatenate([one.keys for one in found]).astype(np.int64) + _TOP
    # Counts stay below 2^53, so that floats hold them.
    every = np.bincount(places, weights=np.concatenate([one.counts for one in found]))
    places = np.flatnonzero(every)
    return Sketch(
        sum([one.missing for one in found]),
        (places - _TOP).astype(np.int16),
        every[places].astype(np.int64),
        sum([one.total for one in found]),
        sum([one.squares for one in found]),
    )


def aligned(*sketches: Sketch) -> tuple[Keys, npt.NDArray[np.int64]]:
    """The buckets of all sketches, (b,) ascending, and each sketch's counts in them, (len(sketches), b)."""
    keys = np.unique(np.concatenate([one.keys for one in sketches]))
    counts = np.zeros((len(sketches), len(keys)), np.int64)
    for row, one in zip(counts, sketches, strict=True):
        row[np.searchsorted(keys, one.keys)] = one.counts
    return keys, counts
