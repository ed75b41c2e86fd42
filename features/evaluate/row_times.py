"""When: what rows' headers and the instants of evaluation say together, so that "in the last 24 h" falls by itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from features.layout import DAY_S, FIRST, HEADER, LAST, TICK_S, VISIBLE, WINDOWS, Instants, Matrix, Ring
from leads import clock

Doubles = npt.NDArray[np.float64]


class Moments:
    """r sets of n rows, each row evaluated at its own instant.

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
        self._kept: dict[Ring, Matrix] = {}
        self._oldest: dict[str, Matrix] = {}

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

    def kept(self, ring: Ring) -> Matrix:
        """(r, n, size) 1 for the buckets that are still within the window, newest first."""
        if ring not in self._kept:
            slid = self._now // ring.width_s - self._last // ring.width_s
            within = ring.size - np.minimum(np.maximum(slid, 0), ring.size)
            self._kept[ring] = (np.arange(ring.size) < within[..., None]).astype(np.float32)
        return self._kept[ring]

    def oldest(self, window: str) -> Matrix:
        """(n, 1) the last tick that lies before the window."""
        if window not in self._oldest:
            ring = WINDOWS[window]
            ticks = self._now // TICK_S - ring.width_s * ring.size // TICK_S
            self._oldest[window] = ticks.astype(np.float32)[:, None]
        return self._oldest[window]
