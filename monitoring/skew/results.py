"""What a skew check finds: the result per harm, and the tally from which it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from leads import clock
from leads.clock import Micros
from monitoring.logged_window import Ahead, Outside
from monitoring.skew.logged import LoggedPredictions

DifferenceKind = Literal["value", "unknown row", "stale row", "missing row"]


class Example(NamedTuple):
    """One prediction that differs. `at` in µs since epoch; NaN where a side has no value."""

    prediction_id: str
    subject: str
    at: Micros
    served: float
    expected: float


@dataclass(frozen=True)
class ColumnSkew:
    """One column that differs in one way.

    Args:
        kind: `value`: the same rows give a different number. `unknown row`: a served row is not in the segments.
            `stale row`, `missing row`: serving used an older row, or none, though a newer one had long been visible.
        column: the feature, or `<role> row` if a row is wrong but no column shows it; the values are then the row's age
            in seconds.
        predictions: number of predictions that differ.
        largest: largest difference where both sides have a value; NaN without any.
        example: the prediction with the largest difference.
    """

    kind: DifferenceKind
    column: str
    meaning: str
    predictions: int
    largest: float
    example: Example


class Lag(NamedTuple):
    """How long newer rows had been visible when an older one was served, in seconds.

    Args:
        share: checked predictions for which some row was not the newest.
        p50_s: median over these predictions, like the other figures; 0 without any.
    """

    share: float
    p50_s: float
    p99_s: float
    max_s: float


class Unverifiable(NamedTuple):
    """Predictions of one version that can't be re-derived, and why."""

    version: str
    predictions: int
    why: str


@dataclass(frozen=True)
class HarmSkew:
    """The result for one harm. Times are µs since epoch; all other numbers count predictions unless stated.

    Args:
        predictions: logged with since ≤ `at` < until.
        sampled: those in the sample.
        checked: those re-derived; the rest of the sample is `unverifiable` or `too_new`.
        columns: number of columns of the largest contract.
        differing: checked predictions with at least one difference; `differences` has the details.
        too_new: newer than the segments; the next run can check them.
        texts_unverifiable: checked except for the text's columns, because the text is not in the event log.
        columns_unverifiable: columns of own views without a time of availability, which aren't compared.
        texts_ahead: the text became visible only after `at`.
        rows_ahead: a row became visible only after `at`.
        links_differ: other links were followed than those stored at `at`, for example because the caller gave them.
        unreadable: number of segments of the prediction log left out because they can't be read.
        ahead: those left out because they are dated in the future; not in `predictions`.
        outside: those logged before `since` or after `until`.
    """

    harm: str
    since: Micros
    until: Micros
    predictions: int
    sampled: int
    checked: int
    columns: int
    differing: int
    differences: tuple[ColumnSkew, ...]
    lag: Lag
    unverifiable: tuple[Unverifiable, ...]
    too_new: int
    texts_unverifiable: int
    columns_unverifiable: tuple[str, ...]
    texts_ahead: int
    rows_ahead: int
    links_differ: int
    unreadable: int
    ahead: Ahead
    outside: Outside

    @property
    def not_verified(self) -> int:
        """Predictions that can't be re-derived."""
        return sum(one.predictions for one in self.unverifiable)


@dataclass(frozen=True)
class SkewResult:
    """The result of `check`. `lag_s`: rows out of date for longer than this count as differences."""

    harms: tuple[HarmSkew, ...]
    lag_s: float

    @property
    def differs(self) -> bool:
        """The overall verdict."""
        return any(one.differing for one in self.harms)

    @property
    def checked(self) -> int:
        return sum(one.checked for one in self.harms)


@dataclass
class Tally:
    """Running totals for one harm, as in `HarmSkew`.

    Args:
        meanings: of columns, by name.
    """

    meanings: Mapping[str, str] = field(default_factory=dict)
    checked: int = 0
    columns: int = 0
    differing: int = 0
    unverifiable: list[Unverifiable] = field(default_factory=list)
    too_new: int = 0
    texts_unverifiable: int = 0
    columns_unverifiable: set[str] = field(default_factory=set)
    texts_ahead: int = 0
    rows_ahead: int = 0
    links_differ: int = 0
    _lags: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _differences: dict[tuple[DifferenceKind, str], ColumnSkew] = field(default_factory=dict)

    def add_lags(self, lags: npt.NDArray[np.int64]) -> None:
        """Add the lags, in µs, of predictions whose rows were not the newest."""
        self._lags.append(lags)

    def add_difference(
        self,
        kind: DifferenceKind,
        column: str,
        predictions: LoggedPredictions,
        indices: npt.NDArray[np.intp],
        served: npt.NDArray[np.floating],
        expected: npt.NDArray[np.floating],
    ) -> None:
        """Add the predictions that differ in a column.

        Args:
            indices: (k,) which of the predictions differ; at least one.
            served: (k,) the values logged.
            expected: (k,) the values re-derived.
        """
        sizes = np.abs(served.astype(np.float64) - expected.astype(np.float64))
        finite = np.isfinite(sizes)
        most = int(np.argmax(np.where(finite, sizes, -1.0)))
        i = indices[most]
        example = Example(
            predictions.ids[i],
            predictions.subjects[i].key,
            int(predictions.at[i]),
            float(served[most]),
            float(expected[most]),
        )
        largest = float(sizes[most]) if finite[most] else float("nan")
        meaning = self.meanings.get(column, "the stored row itself")
        new = ColumnSkew(kind, column, meaning, len(indices), largest, example)
        old = self._differences.get((kind, column))
        self._differences[kind, column] = new if old is None else _merge(old, new)

    def differences(self) -> tuple[ColumnSkew, ...]:
        """All differences, the most frequent first."""
        return tuple(sorted(self._differences.values(), key=lambda one: (-one.predictions, one.kind, one.column)))

    def lag(self) -> Lag:
        lags = np.concatenate(self._lags) / clock.SECOND if self._lags else np.empty(0)
        if not len(lags):
            return Lag(0.0, 0.0, 0.0, 0.0)
        p50, p99 = np.quantile(lags, (0.5, 0.99))
        return Lag(len(lags) / self.checked, float(p50), float(p99), float(lags.max()))


def _merge(old: ColumnSkew, new: ColumnSkew) -> ColumnSkew:
    only_new = np.isnan(old.largest) and not np.isnan(new.largest)
    most = new if only_new or new.largest > old.largest else old
    total = old.predictions + new.predictions
    return ColumnSkew(old.kind, old.column, old.meaning, total, most.largest, most.example)
