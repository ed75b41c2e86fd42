"""Times of rows relative to the instants of evaluation: ages, and which buckets are still within a window."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from features.layout import DAY_S, FIRST, HEADER, LAST, TICK_S, VISIBLE, WINDOWS, Instants, Matrix, Ring
from leads import clock

Doubles = npt.NDArray[np.float64]


class RowTimes:
    """The times of r sets of n rows; the i-th row of each set is evaluated at the i-th instant.

    Args:
        packed: r matrices (n, width), NaN rows for missing entities; widths may differ.
        as_of: (n,) µs since epoch.
    """

    def __init__(self, packed: Sequence[Matrix], as_of: Instants) -> None:
        heads = np.stack([rows[:, :HEADER] for rows in packed]).astype(np.float64)
        self._heads = heads
        self._as_of = as_of
        self._now = as_of // clock.SECOND
        self.missing: npt.NDArray[np.bool_] = np.isnan(heads[:, :, VISIBLE])
        self.any_missing: npt.NDArray[np.bool_] = np.logical_or.reduce(self.missing, axis=1)
        last = heads[:, :, LAST] * DAY_S + heads[:, :, LAST + 1]
        self._last = np.where(self.missing, 0, last).astype(np.int64)
        self._in_window: dict[Ring, Matrix] = {}
        self._starts: dict[str, Matrix] = {}

    @cached_property
    def age_h(self) -> Matrix:
        """(r, n) hours since each row's entity was first seen."""
        first = self._heads[:, :, FIRST] * DAY_S + self._heads[:, :, FIRST + 1]
        hours: Matrix = np.maximum((self._now - first) / 3_600, 0).astype(np.float32)
        return hours

    @cached_property
    def age_s(self) -> Doubles:
        """(r, n) seconds since the newest event behind each row became visible; inf where the row is missing."""
        at = self._heads[:, :, VISIBLE : VISIBLE + 3]
        visible = (at[..., 0] * DAY_S + at[..., 1]) * clock.SECOND + at[..., 2]
        ages: Doubles = np.maximum((self._as_of - visible) / clock.SECOND, 0.0)
        ages[self.missing] = np.inf
        return ages

    def in_window(self, ring: Ring) -> Matrix:
        """(r, n, size) 1 for the buckets that are still within the window and 0 for the others, newest first."""
        if ring not in self._in_window:
            elapsed = self._now // ring.width_s - self._last // ring.width_s
            within = ring.size - np.minimum(np.maximum(elapsed, 0), ring.size)
            self._in_window[ring] = (np.arange(ring.size) < within[..., None]).astype(np.float32)
        return self._in_window[ring]

    def start(self, window: str) -> Matrix:
        """(n, 1) the last tick before the window."""
        if window not in self._starts:
            ring = WINDOWS[window]
            ticks = self._now // TICK_S - ring.width_s * ring.size // TICK_S
            self._starts[window] = ticks.astype(np.float32)[:, None]
        return self._starts[window]
