"""Computes features from rows: all counts of a window in one step, then all formulas of one kind in one step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.evaluate.row_times import RowTimes
from features.formulas import Age, Base, Count, Derived, Distinct, Formula, Ratio, Total
from features.layout import Layout, Matrix, Ring

Places = npt.NDArray[np.int64]


class _Ring(NamedTuple):
    """A window's ring, and the output columns of its sums: `into` to `into + members`."""

    ring: Ring
    start: int
    members: int
    into: int


class _Sketches(NamedTuple):
    """The view's sketches in one window: cells `start` to `end`, each sketch's first cell, the first output column."""

    window: str
    start: int
    end: int
    firsts: Places
    into: int


class RolePlan:
    """Reads the base values of formulas from one role's rows into columns of a shared matrix.

    Args:
        into: the first column. `bases` maps each base value to its column; `width` is the number of columns.
    """

    def __init__(self, layout: Layout, formulas: Sequence[Formula], into: int) -> None:
        self._layout = layout
        self._start = self._end = into
        self.bases: dict[Base, int] = {}
        used = {base for formula in formulas for base in bases_of(formula)}
        self._age = self._column(Age()) if Age() in used else None
        self._totals_into, self._totals = self._end, self._take_totals(used)
        self._rings = self._take_rings(used)
        self._sketches = self._take_sketches(used)
        self._estimates = _estimates([slots for _, slots in layout.sketches])
        self._nth_sketch = np.arange(len(layout.sketches))

    @property
    def width(self) -> int:
        return self._end - self._start

    def read(self, packed: Matrix, times: RowTimes, nth: int, values: Matrix) -> None:
        """Fill this role's columns of `values`, (n, any); NaN where rows are missing.

        Args:
            packed: (n, layout.width); the `nth` set of rows in `times`.
        """
        if self._age is not None:
            values[:, self._age] = times.age_h[nth]
        values[:, self._totals_into : self._totals_into + len(self._totals)] = packed[:, self._totals]
        for ring, start, members, into in self._rings:
            buckets = packed[:, start : start + ring.size * members].reshape(-1, ring.size, members)
            # Exact in any order of summation: cells are multiples of 1/64, far below 2^18.
            values[:, into : into + members] = np.einsum("nsc,ns->nc", buckets, times.in_window(ring)[nth])
        for window, start, end, firsts, into in self._sketches:
            recent = packed[:, start:end] > times.start(window)
            filled = np.add.reduceat(recent, firsts, axis=1, dtype=np.int64)
            values[:, into : into + len(firsts)] = self._estimates[self._nth_sketch, filled]
        if times.any_missing[nth]:
            values[times.missing[nth], self._start : self._end] = np.nan

    def _take_totals(self, used: Collection[Base]) -> Places:
        totals = sorted(base for base in used if isinstance(base, Total))
        for base in totals:
            self._column(base)
        return np.array([self._layout.places.cells[base.name] for base in totals], np.int64)

    def _take_rings(self, used: Collection[Base]) -> list[_Ring]:
        """Whole rings: members are adjacent in memory, so skipping some would cost more than it saves."""
        found = []
        for name, window in self._layout.places.windows.items():
            if any(isinstance(base, Count) and base.window == name for base in used):
                found.append(_Ring(window.ring, window.start, len(window.members), self._end))
                for member in window.members:
                    self._column(Count(member, name))
        return found

    def _take_sketches(self, used: Collection[Base]) -> list[_Sketches]:
        places = self._layout.places.sketches
        found = []
        for window in sorted({base.window for base in used if isinstance(base, Distinct)}):
            start, end = min(at for at, _ in places.values()), max(at + slots for at, slots in places.values())
            firsts = np.array([at - start for at, _ in places.values()], np.int64)
            found.append(_Sketches(window, start, end, firsts, self._end))
            for sketch in places:
                self._column(Distinct(sketch, window))
        return found

    def _column(self, base: Base) -> int:
        self.bases[base] = self._end
        self._end += 1
        return self._end - 1


class Outputs:
    """Computes one column per formula from a matrix of base values.

    Args:
        formulas: each with the columns of the values that it needs.
    """

    def __init__(self, formulas: Sequence[tuple[Formula, dict[Base, int]]]) -> None:
        self._n = len(formulas)
        direct = [(j, at[f]) for j, (f, at) in enumerate(formulas) if not isinstance(f, Ratio | Derived)]
        self._direct = _columns(direct, 2)
        ratios = [(j, f, at) for j, (f, at) in enumerate(formulas) if isinstance(f, Ratio)]
        self._ratios = _columns([(j, at[f.part], at[f.whole]) for j, f, at in ratios], 3)
        self._times = np.array([f.times for _, f, _ in ratios], np.float32)
        derived = [(j, f, at) for j, (f, at) in enumerate(formulas) if isinstance(f, Derived)]
        self._derived = [(j, np.array([at[base] for base in f.bases]), f.compute) for j, f, at in derived]

    def of(self, values: Matrix) -> Matrix:
        """(n, formulas) float32."""
        out = np.empty((len(values), self._n), np.float32)
        into, place = self._direct
        out[:, into] = values[:, place]
        into, part, whole = self._ratios
        if len(into):
            wholes = values[:, whole]
            shares = np.full_like(wholes, np.nan)
            out[:, into] = np.divide(values[:, part] * self._times, wholes, out=shares, where=wholes > 0)
        for j, places, compute in self._derived:
            out[:, j] = compute(values[:, places])
        return out


def bases_of(formula: Formula) -> tuple[Base, ...]:
    """The base values that a formula needs."""
    if isinstance(formula, Ratio):
        return (formula.part, formula.whole)
    return formula.bases if isinstance(formula, Derived) else (formula,)


def _columns(rows: Sequence[tuple[int, ...]], n: int) -> Places:
    return np.array(rows, np.int64).reshape(-1, n).T.copy()


def _estimates(slots: Sequence[int]) -> Matrix:
    """(sketches, most slots + 1) the distinct count estimated from the number of filled slots, rounded.

    Linear counting: -m ln(1 - filled/m) for m slots (Whang et al. 1990); if all are filled, half a slot counts as free.
    """
    table = np.zeros((len(slots), max(slots, default=0) + 1), np.float32)
    for i, m in enumerate(slots):
        filled = np.arange(m + 1, dtype=np.float64)
        filled[-1] -= 0.5
        table[i, : m + 1] = np.rint(-m * np.log1p(-filled / m))
    return table
