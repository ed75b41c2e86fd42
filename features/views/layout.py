"""What the row of a feature view of the user's own contains: one cell per column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from features.layout import DAY_S, FIRST, LARGEST, LAST, VISIBLE, Instants, Layout, Matrix
from features.views.declaration import ViewDeclaration
from leads import clock

Doubles = npt.NDArray[np.float64]


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

    def rows(self, at: Instants, values: Doubles) -> Matrix:
        """(n, width) rows, of NaN where there is none.

        Args:
            at: (n,) µs since epoch, when the values hold from; 0 where there is no row.
            values: (n, columns), NaN where a value is missing. Others are limited as values of events are.
        """
        found = np.zeros((len(at), self.width), np.float32)
        first = self.places.cells[self.columns[0]]
        found[:, first : first + len(self.columns)] = np.clip(values, -LARGEST, LARGEST)
        seconds, micros = np.divmod(at, clock.SECOND)
        days, rest = np.divmod(seconds, DAY_S)
        for cell in (FIRST, LAST, VISIBLE):
            found[:, cell], found[:, cell + 1] = days, rest
        found[:, VISIBLE + 2] = micros
        found[at <= 0] = np.nan
        return found
