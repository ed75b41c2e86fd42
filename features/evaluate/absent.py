"""What features are where a row is missing, or where only declared events changed it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.formulas import Age, Base, Count, Distinct, Latest, Peak, Total
from features.layout import Layout, Matrix

Flags = npt.NDArray[np.bool_]
_NAN, _ZERO = np.array(np.nan, np.float32), np.array(0.0, np.float32)


class Absent:
    """Values of rows that are missing, or that only declared events changed.

    What counts declared events is 0 where there is no row, because there was none. What counts built-in events is
    NaN where there was no built-in event: it doesn't depend on what is declared.

    Args:
        layouts: by role.
        bases: the role and base of each value.
    """

    def __init__(self, layouts: Sequence[Layout], bases: Sequence[tuple[int, Base]]) -> None:
        self.is_possible = any(layout.has_declared for layout in layouts)
        declared = [_name_of(base) in layouts[role].declared for role, base in bases]
        counts = [isinstance(base, Total | Count | Distinct) for _, base in bases]
        self._roles = np.array([role for role, _ in bases], np.intp)
        # Highest and newest values are NaN by themselves where there are none.
        values = np.array([isinstance(base, Peak | Latest) for _, base in bases], np.bool_)
        self._built_in = np.flatnonzero(~np.array(declared, np.bool_) & ~values)
        self._zero = np.flatnonzero(np.array(declared, np.bool_) & np.array(counts, np.bool_))

    def mark(self, missing: Flags, unseen: Flags, values: Matrix) -> None:
        """Set the values of absent rows.

        Args:
            missing: (roles, n) whether there is no row.
            unseen: (roles, n) whether there was no built-in event.
            values: (at least k, n).
        """
        if unseen.any():
            values[self._built_in] = np.where(unseen[self._roles[self._built_in]], _NAN, values[self._built_in])
        if missing.any():
            values[self._zero] = np.where(missing[self._roles[self._zero]], _ZERO, values[self._zero])


def _name_of(base: Base) -> str:
    match base:
        case Count(name) | Total(name) | Distinct(name) | Peak(name) | Latest(name):
            return name
        case Age():
            return ""
