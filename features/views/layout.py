"""What the row of a feature view of the user's own contains: one cell per column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from features.layout import DAY_S, FIRST, HEADER, LARGEST, LAST, VISIBLE, Instants, Layout, Matrix
from features.views.declaration import ViewDeclaration
from leads import clock

Doubles = npt.NDArray[np.float64]
# The header, and the number of late events, which own views don't count.
_HEAD = HEADER + 1


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnView(Layout):
    """A view of the user's own. Its rows are stored by Feast, with one value per column.

    Args:
        name: of the view in Feast.
        source: the role whose entity its values are about.
        declaration: what is recorded of it.
    """

    name: str
    source: str
    declaration: ViewDeclaration

    @cached_property
    def join_key(self) -> str:
        return self.declaration.join_key

    @cached_property
    def table(self) -> str:
        return self.name

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The numeric columns, in the order of their cells."""
        return self.maxima

    @property
    def is_verifiable(self) -> bool:
        """Whether it is known when each row became available, so that a skew check can join it."""
        return self.declaration.available is not None

    @cached_property
    def first_value(self) -> int:
        """The cell of the first column; those of the others follow."""
        return self.places.cells[self.columns[0]]

    @staticmethod
    def limited(values: Doubles) -> Doubles:
        """The values, limited as values of events are."""
        limited: Doubles = np.minimum(np.maximum(values, -LARGEST), LARGEST)
        return limited

    def rows(self, at: Instants, values: Doubles) -> Matrix:
        """(n, width) rows, of NaN where there is none.

        Args:
            at: (n,) µs since epoch, when the values hold from; 0 where there is no row.
            values: (n, columns), NaN where a value is missing.
        """
        found = np.hstack([head_cells(at), self.limited(values).astype(np.float32)])
        found[at <= 0] = np.nan
        return found


def head_cells(at: Instants | int) -> Matrix:
    """(…, n) the cells of a row that come before its values; NaN for 0.

    Args:
        at: (…,) µs since epoch, when the values hold from.
    """
    seconds, micros = np.divmod(np.asarray(at, np.int64), clock.SECOND)
    days, rest = np.divmod(seconds, DAY_S)
    found = np.zeros((*seconds.shape, _HEAD), np.float32)
    for cell in (FIRST, LAST, VISIBLE):
        found[..., cell], found[..., cell + 1] = days, rest
    found[..., VISIBLE + 2] = micros
    found[np.asarray(at) <= 0] = np.nan
    return found
