"""Times of rows relative to the instants of evaluation: ages, and which buckets are still within a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.layout import DAY_S, FIRST, LAST, TICK_S, VISIBLE, WINDOWS, Instants, Matrix, Ring
from leads import clock

Doubles = npt.NDArray[np.float64]

# The window without a start.
EVER = "ever"
# Each of a row's times is in two cells: its day, and its second.
_TIMES = (FIRST, LAST, VISIBLE)
# Arrays, because NumPy takes longer with Python's numbers.
_DAY_S, _SECOND = np.array(float(DAY_S)), np.array(clock.SECOND)


class RowTimes(NamedTuple):
    """Times of n rows of each of r roles, relative to n instants of evaluation; NaN where the row is missing.

    Args:
        visible: (r, n) seconds since epoch, without their fraction: when the row's newest event became visible.
        within: (rings, n) how many of the ring's newest buckets are within its window, at most all; 0 or less if none.
        since_first: (aged, n) seconds since the row's entity was first seen.
        starts: (windows, n) the last tick before the window; known also where the row is missing.
    """

    visible: Doubles
    within: Matrix
    since_first: Doubles
    starts: Matrix


class TimePlan:
    """Computes `RowTimes`: takes all times that are needed, divides them by their units, and subtracts, each once.

    Args:
        offsets: by role, the first of its cells; a role is its place in this list.
        rings: (role, ring) of each row of `within`.
        aged: the role of each row of `since_first`.
        windows: the window of each row of `starts`; `ever` has no start.

    Attributes:
        cells: the cells that hold times. First all days, then all seconds.
        rings: as given.
    """

    def __init__(
        self, offsets: Sequence[int], rings: Sequence[tuple[int, Ring]], aged: Sequence[int], windows: Sequence[str]
    ) -> None:
        self.cells = [offset + time + part for part in (0, 1) for time in _TIMES for offset in offsets]
        self.rings = tuple(rings)
        self._times = len(_TIMES) * len(offsets)
        self._visible = slice(self._times - len(offsets), self._times)
        # Rows of `moments`, after the times of rows: now, and now less each window.
        first, last, now = 0, len(offsets), self._times
        before = {window: now + 1 + i for i, window in enumerate((*WINDOWS, EVER))}
        self._spans = np.array([0, *(ring.width_s * ring.size for ring in WINDOWS.values())])[:, None]
        later = [last + role for role, _ in rings] + [now] * len(aged)
        earlier = [before[ring.window] for _, ring in rings] + [first + role for role in aged]
        self._taken = np.array(later + earlier + [before[window] for window in windows], np.intp)
        units = [ring.width_s for _, ring in rings] + [1] * len(aged)
        self._units = np.array([*units, *units, *[TICK_S] * len(windows)], np.float64)[:, None]
        self._sizes = np.array([ring.size for _, ring in rings], np.float32)[:, None]
        k = len(later)
        self._later, self._earlier, self._windows = slice(k), slice(k, 2 * k), slice(2 * k, None)
        self._rings, self._aged = slice(len(rings)), slice(len(rings), None)

    def of(self, heads: Matrix, as_of: Instants) -> RowTimes:
        """The times of n rows.

        Args:
            heads: (cells, n) the values of `cells`.
            as_of: (n,) µs since epoch.
        """
        parts = heads.astype(np.float64)
        # In seconds. float64 is exact for them, and for the floor of their quotients.
        moments = np.empty((self._times + len(self._spans) + 1, len(as_of)))
        moments[-1] = 0
        times = moments[: self._times]
        np.multiply(parts[: self._times], _DAY_S, out=times)
        np.add(times, parts[self._times :], out=times)
        np.subtract(as_of // _SECOND, self._spans, out=moments[self._times : -1])
        counted = moments.take(self._taken, 0)
        np.divide(counted, self._units, out=counted)
        np.floor(counted, out=counted)
        apart = counted[self._later] - counted[self._earlier]
        within = np.minimum(apart[self._rings].astype(np.float32), self._sizes)
        return RowTimes(times[self._visible], within, apart[self._aged], counted[self._windows].astype(np.float32))
