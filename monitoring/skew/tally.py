"""What is counted while predictions are compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from features.catalogue import BY_NAME
from leads import clock
from leads.clock import Micros
from monitoring.skew.logged import Logged

Kind = Literal["value", "unknown row", "stale row", "missing row"]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


class Example(NamedTuple):
    """One prediction that differs; NaN where a side has no value. `at` is in µs since epoch."""

    prediction_id: str
    subject: str
    at: Micros
    served: float
    expected: float


@dataclass(frozen=True)
class ColumnSkew:
    """One column that differs in one way.

    Args:
        kind: `value`: the same rows give another number. `unknown row`: a row was served that the segments don't have.
            `stale row`, `missing row`: an older row, or none, was served though a newer was long visible.
        column: the feature; `<role> row` where a row is wrong and no column shows it, its values then the row's age in
            seconds.
        predictions: that differ so.
        largest: difference among those with a value on both sides; NaN when there are none.
    """

    kind: Kind
    column: str
    meaning: str
    predictions: int
    largest: float
    example: Example


class Lag(NamedTuple):
    """How far rows were behind, where they were: for how many seconds the first newer row had been visible.

    `share` is that of the checked predictions with a row behind; the quantiles are of these alone, 0 without any.
    """

    share: float
    p50_s: float
    p99_s: float
    max_s: float


@dataclass
class Tally:
    """Sums over chunks."""

    checked: int = 0
    differing: int = 0
    texts_unverifiable: int = 0
    texts_ahead: int = 0
    rows_ahead: int = 0
    links_differ: int = 0
    _lags: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _columns: dict[tuple[Kind, str], ColumnSkew] = field(default_factory=dict)

    def behind(self, lags: npt.NDArray[np.int64]) -> None:
        """Note by how many µs predictions were behind, for those that were."""
        self._lags.append(lags)

    def differ(
        self,
        kind: Kind,
        column: str,
        of: Logged,
        where: Places,
        served: npt.NDArray[np.floating],
        expected: npt.NDArray[np.floating],
    ) -> None:
        """Note that predictions differ in a column: at the places `where`, (k,) served and (k,) expected."""
        sizes = np.abs(served.astype(np.float64) - expected.astype(np.float64))
        known = np.isfinite(sizes)
        most = int(np.argmax(np.where(known, sizes, -1.0)))
        i = where[most]
        example = Example(of.ids[i], of.subjects[i].key, int(of.at[i]), float(served[most]), float(expected[most]))
        largest = float(sizes[most]) if known[most] else float("nan")
        meaning = BY_NAME[column].meaning if column in BY_NAME else "the stored row itself"
        new = ColumnSkew(kind, column, meaning, len(where), largest, example)
        old = self._columns.get((kind, column))
        self._columns[kind, column] = new if old is None else _joined(old, new)

    def columns(self) -> tuple[ColumnSkew, ...]:
        """What differs, the most frequent first."""
        return tuple(sorted(self._columns.values(), key=lambda one: (-one.predictions, one.kind, one.column)))

    def lag(self) -> Lag:
        lags = np.concatenate(self._lags) / clock.SECOND if self._lags else np.empty(0)
        if not len(lags):
            return Lag(0.0, 0.0, 0.0, 0.0)
        p50, p99 = np.quantile(lags, (0.5, 0.99))
        return Lag(len(lags) / self.checked, float(p50), float(p99), float(lags.max()))


def _joined(old: ColumnSkew, new: ColumnSkew) -> ColumnSkew:
    unsized = np.isnan(old.largest) and not np.isnan(new.largest)
    most = new if unsized or new.largest > old.largest else old
    both = old.predictions + new.predictions
    return ColumnSkew(old.kind, old.column, old.meaning, both, most.largest, most.example)
