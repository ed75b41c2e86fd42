"""Reads the highest and the newest of values that events gave. Arrays are as in `features.evaluate.bases`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.formulas import Latest, Peak
from features.layout import DAY_S, LATEST, WINDOWS, Instants, Layout, Matrix
from leads import clock


class Peaks:
    """Highest values in windows or ever; NaN where there was none.

    Args:
        peaks: each with its role.
        layouts, offsets: by role, its layout and the first of its cells.
    """

    def __init__(self, peaks: Sequence[tuple[int, Peak]], layouts: Sequence[Layout], offsets: Sequence[int]) -> None:
        self._depth = max((WINDOWS[peak.window].size for _, peak in peaks if peak.window in WINDOWS), default=1)
        cells = [_buckets(peak, layouts[role], offsets[role]) for role, peak in peaks]
        # A shorter ring is filled up with its first cell, which counts only once.
        self.cells = [one[min(i, len(one) - 1)] for i in range(self._depth) for one in cells]
        self._sizes = np.array([len(one) for one in cells], np.float32)[:, None]
        self._ever = np.array([peak.window not in WINDOWS for _, peak in peaks])[:, None]
        self._numbers = np.arange(self._depth, dtype=np.float32)[:, None, None]

    def compute(self, cells: Matrix, within: Matrix, into: Matrix) -> None:
        """Compute k peaks of n subjects.

        Args:
            cells: (depth · k, n) the values of `self.cells`.
            within: (k, n) how many buckets are within the window; any number for `ever`.
        """
        if not self.cells:
            return
        buckets = cells.reshape(self._depth, *within.shape)
        covered = np.minimum(np.where(self._ever, 1, within), self._sizes)
        is_value = (self._numbers < covered) & ((buckets != 0) | np.signbit(buckets))
        highest = np.max(np.where(is_value, buckets, -np.inf), axis=0)
        # + 0.0 makes 0 of -0.0.
        np.copyto(into, np.where(np.isneginf(highest), np.nan, highest + 0.0))


class LatestValues:
    """Newest values, if they are from within the window; NaN otherwise. Arguments as of `Peaks`."""

    def __init__(self, latest: Sequence[tuple[int, Latest]], layouts: Sequence[Layout], offsets: Sequence[int]) -> None:
        starts = [offsets[role] + layouts[role].places.latest[one.name] for role, one in latest]
        self.cells = [start + part for part in range(LATEST) for start in starts]
        spans = [
            WINDOWS[one.window].width_s * WINDOWS[one.window].size if one.window in WINDOWS else np.inf
            for _, one in latest
        ]
        self._spans: npt.NDArray[np.float64] = np.array(spans, np.float64)[:, None]

    def compute(self, cells: Matrix, as_of: Instants, into: Matrix) -> None:
        """Compute k values of n subjects.

        Args:
            cells: (3 · k, n) the values of `self.cells`.
            as_of: (n,) µs since epoch.
        """
        if not self.cells:
            return
        values, days, seconds = cells.reshape(LATEST, *into.shape)
        at = days.astype(np.float64) * DAY_S + seconds
        is_current = (at > 0) & (as_of // clock.SECOND - at < self._spans)
        np.copyto(into, np.where(is_current, values, np.nan))


def _buckets(peak: Peak, layout: Layout, offset: int) -> list[int]:
    places = layout.places
    if peak.window not in WINDOWS:
        return [offset + places.cells[peak.name]]
    ring, start, members = places.windows[peak.window]
    return [offset + start + i * len(members) + members[peak.name] for i in range(ring.size)]
