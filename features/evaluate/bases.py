"""Reads the base values of formulas from stored rows: the values of all roles in the same steps.

Arrays have one row per cell or value, and one column per subject. So a step on one subject takes little more than
NumPy's call, and a step on many subjects reads memory in order.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from features.evaluate.absent import Absent
from features.evaluate.row_times import Doubles, TimePlan
from features.evaluate.values import LatestValues, Peaks
from features.formulas import Age, Base, Count, Distinct, Latest, Peak, Total
from features.layout import DAY_S, HEADER, RINGS, VISIBLE, WINDOWS, Instants, Layout, Matrix
from leads import clock

Flags = npt.NDArray[np.bool_]
Kind = TypeVar("Kind", Total, Count, Age, Distinct, Peak, Latest)

# Arrays, because NumPy takes longer with Python's numbers.
_HOUR_S, _ZERO, _NAN = np.array(3_600.0), np.array(0.0), np.array(np.nan, np.float32)


class Freshness(NamedTuple):
    """When the newest event behind each row became visible; with declared features, also the newest built-in event.

    Args:
        missing: (roles, n) whether there is no such event.
        seconds: (roles, n) since epoch, and `micros` in addition.
    """

    missing: Flags
    seconds: Doubles
    micros: Matrix

    def ages_s(self, as_of: Instants) -> Doubles:
        """(roles, n) seconds from then to n instants in µs; inf where the row is missing."""
        ages: Doubles = np.maximum((as_of - (self.seconds * clock.SECOND + self.micros)) / clock.SECOND, 0.0)
        ages[self.missing] = np.inf
        return ages


class BaseValues:
    """Computes the base values of formulas. Roles are numbered in the order of `used`.

    Args:
        used: by role, the base values to compute.
        roles: the layout of each role's rows.

    Attributes:
        places: by role, the row of each value.
        width: the number of rows.
    """

    def __init__(self, used: Mapping[str, Collection[Base]], roles: Mapping[str, Layout]) -> None:
        layouts = [roles[role] for role in used]
        offsets = [0, *accumulate(layout.width for layout in layouts)]
        inexact = [{counter.name for counter in layout.counters if counter.inexact} for layout in layouts]
        totals, counts = _of_kind(used, Total), _of_kind(used, Count)
        exact = [(role, x) for role, x in counts if x.counter not in inexact[role]]
        others = [(role, x) for role, x in counts if x.counter in inexact[role]]
        ages, distincts = _of_kind(used, Age), _of_kind(used, Distinct)
        peaks, latest = _of_kind(used, Peak), _of_kind(used, Latest)
        self.places: dict[str, dict[Base, int]] = {role: {} for role in used}
        every: list[tuple[int, Base]] = [*totals, *exact, *others, *ages, *distincts, *peaks, *latest]
        for row, (role, base) in enumerate(every):
            self.places[tuple(used)[role]][base] = row
        self.width = len(every)
        self._times = TimePlan(
            offsets[:-1],
            [
                *((role, WINDOWS[base.window]) for role, base in (*exact, *others)),
                *((role, WINDOWS.get(peak.window, RINGS[0])) for role, peak in peaks),
            ],
            [role for role, _ in ages],
            [base.window for _, base in distincts],
        )
        self._sums, self._inexact = _Sums(exact, layouts, offsets), _InexactSums(others, layouts, offsets)
        self._peaks, self._latest = Peaks(peaks, layouts, offsets), LatestValues(latest, layouts, offsets)
        self._estimates = _Estimates(distincts, layouts, offsets)
        self._absent = Absent(layouts, every)
        visible = [offset + layout.places.visible for offset, layout in zip(offsets, layouts, strict=False)]
        cells = (
            self._times.cells,
            [offset + VISIBLE + 2 for offset in offsets[:-1]],
            [offsets[role] + layouts[role].places.cells[base.name] for role, base in totals],
            self._sums.cells,
            self._estimates.cells,
            self._inexact.cells,
            self._peaks.cells,
            self._latest.cells,
            [at + part for part in range(HEADER - VISIBLE) for at in visible] if self._absent.is_possible else [],
        )
        self._cells = np.array(list(chain(*cells)), np.intp)
        self._parts = _slices([len(each) for each in cells])
        self._into = _slices([len(each) for each in (totals, exact, others, ages, distincts, peaks, latest)])
        # The rows of `RowTimes.within`.
        self._within = _slices([len(exact), len(others), len(peaks)])
        self._has_values = bool(others or peaks or latest)
        self._row_width = offsets[-1]

    def read(self, packed: Sequence[Matrix], as_of: Instants, values: Matrix) -> tuple[Freshness, Freshness]:
        """Compute the values of n subjects, NaN where rows are missing.

        Args:
            packed: by role, (n, width of its layout).
            as_of: (n,) µs since epoch.
            values: (at least `width`, n) gets the values.

        Returns:
            Of all events, and of the built-in ones. The arrays are valid until the thread's next call.
        """
        n = len(as_of)
        rows = _scratch.array("rows", self._row_width, n)
        np.concatenate([each.T for each in packed], out=rows)
        cells = _scratch.array("cells", len(self._cells), n)
        rows.take(self._cells, 0, cells, "clip")
        heads, micros, totals, buckets, slots, *_ = self._parts
        into_totals, into_sums, _, into_ages, into_estimates, *_ = self._into
        times = self._times.of(cells[heads], as_of)
        missing = np.isnan(times.visible)
        values[into_totals] = cells[totals]
        if self._has_values:
            self._read_values(cells, as_of, times.within, values)
        self._sums.compute(cells[buckets], times.within[self._within[0]], values[into_sums])
        np.maximum(np.divide(times.since_first, _HOUR_S), _ZERO, out=values[into_ages])
        self._estimates.compute(cells[slots], times.starts, missing, values[into_estimates])
        freshness = Freshness(missing, times.visible, cells[micros])
        if not self._absent.is_possible:
            return freshness, freshness
        unseen = missing | (cells[: len(missing)] == 0)
        self._absent.mark(missing, unseen, values)
        days, seconds, built_in_micros = cells[self._parts[-1]].reshape(-1, *missing.shape)
        return freshness, Freshness(unseen, days.astype(np.float64) * DAY_S + seconds, built_in_micros)

    def _read_values(self, cells: Matrix, as_of: Instants, within: Matrix, values: Matrix) -> None:
        """Compute what depends on values that events gave."""
        *_, inexact, peaks, latest, _ = self._parts
        _, _, into_inexact, _, _, into_peaks, into_latest = self._into
        _, within_inexact, within_peaks = self._within
        self._inexact.compute(cells[inexact], within[within_inexact], values[into_inexact])
        self._peaks.compute(cells[peaks], within[within_peaks], values[into_peaks])
        self._latest.compute(cells[latest], as_of, values[into_latest])


class _Sums:
    """Sums of the buckets that are within a window. All get as many cells as the longest ring has."""

    def __init__(self, counts: Sequence[tuple[int, Count]], layouts: Sequence[Layout], offsets: Sequence[int]) -> None:
        placed = [(offsets[role], layouts[role].places.windows[base.window], base.counter) for role, base in counts]
        depth = max((window.ring.size for _, window, _ in placed), default=0)
        # A shorter ring is filled up with another cell, which is never within the window.
        self.cells = [
            offset + (start + i * len(members) + members[counter] if i < ring.size else VISIBLE)
            for i in range(depth)
            for offset, (ring, start, members), counter in placed
        ]
        self._numbers = np.arange(depth, dtype=np.float32)[:, None, None]

    def compute(self, cells: Matrix, within: Matrix, into: Matrix) -> None:
        """Compute k sums of n subjects.

        Args:
            cells: (depth · k, n) the values of `self.cells`, which are overwritten.
            within: (k, n) how many buckets are within the window.
        """
        buckets = cells.reshape(len(self._numbers), *within.shape)
        np.multiply(buckets, self._numbers < within, out=buckets)
        # Exact in any order of summation: cells are multiples of 1/64, far below 2^18.
        np.add.reduce(buckets, 0, out=into)


class _InexactSums(_Sums):
    """Sums of any numbers. They are added in one order, so that a sum doesn't depend on the other subjects."""

    def compute(self, cells: Matrix, within: Matrix, into: Matrix) -> None:
        if not self.cells:
            return
        buckets = cells.reshape(len(self._numbers), *within.shape)
        np.multiply(buckets, self._numbers < within, out=buckets)
        np.copyto(into, buckets[0])
        for bucket in buckets[1:]:
            np.add(into, bucket, out=into)


class _Estimates:
    """Estimates of distinct counts. Small sketches are read several times, so that all get as many cells."""

    def __init__(
        self, distincts: Sequence[tuple[int, Distinct]], layouts: Sequence[Layout], offsets: Sequence[int]
    ) -> None:
        sketches = [(offsets[role], *layouts[role].places.sketches[base.sketch]) for role, base in distincts]
        self._depth = math.lcm(*(slots for _, _, slots in sketches))
        self.cells = [offset + at + i % slots for i in range(self._depth) for offset, at, slots in sketches]
        tables = [_estimates(slots, self._depth) for _, _, slots in sketches]
        self._table = np.array(tables, np.float32).ravel()
        self._rows = (np.arange(len(tables)) * (self._depth + 1))[:, None]
        self._roles = np.array([role for role, _ in distincts], np.intp)
        self._counts = np.min_scalar_type(self._depth)

    def compute(self, cells: Matrix, starts: Matrix, missing: Flags, into: Matrix) -> None:
        """Compute k estimates of n subjects, NaN where rows are missing.

        Args:
            cells: (depth · k, n) the values of `self.cells`.
            starts: (k, n) the last tick before the window.
            missing: (roles, n) whether there is no row.
        """
        if not self.cells:
            return
        filled = cells.reshape(self._depth, *starts.shape) > starts
        places = np.add.reduce(filled.view(np.uint8), 0, dtype=self._counts) + self._rows
        self._table.take(places, out=into, mode="clip")
        np.copyto(into, _NAN, where=missing.take(self._roles, 0))


class _Scratch(threading.local):
    """Memory for large intermediate results of a thread, because the system takes long to provide new memory."""

    def __init__(self) -> None:
        self._memory: dict[str, Matrix] = {}

    def array(self, name: str, height: int, n: int) -> Matrix:
        """A (height, n) float32 array with any values, in the same memory as the thread's last one of this name."""
        size = height * n
        memory = self._memory.get(name)
        if memory is None or len(memory) < size:
            memory = self._memory[name] = np.empty(size, np.float32)
        return memory[:size].reshape(height, n)


_scratch = _Scratch()


def _of_kind(used: Mapping[str, Collection[Base]], kind: type[Kind]) -> list[tuple[int, Kind]]:
    """The base values of a kind, each with its role."""
    return [
        (role, x) for role, bases in enumerate(used.values()) for x in sorted(bases, key=repr) if isinstance(x, kind)
    ]


def _slices(lengths: Iterable[int]) -> list[slice]:
    return [slice(start, end) for start, end in pairwise([0, *accumulate(lengths)])]


def _estimates(slots: int, depth: int) -> Matrix:
    """(depth + 1,) the distinct count estimated from the number of filled cells, rounded; several cells are one slot.

    Linear counting: -m ln(1 - filled/m) for m slots (Whang et al. 1990); if all are filled, half a slot counts as free.
    """
    filled = np.arange(slots + 1, dtype=np.float64)
    filled[-1] -= 0.5
    table = np.zeros(depth + 1, np.float32)
    table[:: depth // slots] = np.rint(-slots * np.log1p(-filled / slots))
    return table
