"""Compare logged predictions with what was re-derived, and add the differences to the tally."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.contract import FeatureContract
from features.evaluate.columns import evaluate
from features.layout import Instants
from leads import clock
from leads.clock import Micros
from monitoring.skew.logged import NOT_READ, LoggedPredictions
from monitoring.skew.rederive import ROLES, Flags, Rederived, same, view_of
from monitoring.skew.results import DifferenceKind, Tally

_Values = npt.NDArray[np.floating]
_ITEM = ROLES.index("item")


def compare(
    contract: FeatureContract, predictions: LoggedPredictions, rederived: Rederived, tally: Tally, *, max_lag: Micros
) -> None:
    """Compare values and freshness.

    Args:
        predictions: made under the contract.
        max_lag: how long a newer row may have been visible without being served, µs.
    """
    comparison = _Comparison(contract, predictions, rederived, tally)
    differ = comparison.values() | comparison.freshness(max_lag)
    item_outdated = np.zeros(len(predictions), np.bool_)
    item_outdated[rederived.maybe_outdated] = rederived.outdated[:, _ITEM]
    tally.checked += len(predictions)
    tally.differing += int(differ.sum())
    tally.rows_ahead += int((predictions.row_at > predictions.at[:, None]).any(axis=1).sum())
    # Where the item's row was outdated, that explains other links.
    tally.links_differ += int((rederived.links_differ & ~item_outdated).sum())
    tally.texts_unverifiable += int(rederived.texts.unknown.sum())
    tally.texts_ahead += int(rederived.texts.ahead.sum())


@dataclass(frozen=True)
class _Comparison:
    contract: FeatureContract
    predictions: LoggedPredictions
    rederived: Rederived
    tally: Tally

    def values(self) -> Flags:
        """Add values that differ and served rows that the segments lack; (n,) which predictions have any."""
        predictions, rederived = self.predictions, self.rederived
        served = predictions.vector[:, : len(self.contract.columns)]
        not_read = predictions.row_at == NOT_READ
        unknown = (rederived.served_at != predictions.row_at) & ~not_read & ~predictions.earlier[:, None]
        differ = ~same(rederived.matrix, served)
        for j, name in enumerate(self.contract.names):
            features = rederived.features
            if view_of(name, features) is None or features.reads_own(name):
                differ[:, j] &= ~rederived.texts.unknown
            differ[:, j] &= ~self._row_marked(name, not_read)
            from_unknown = self._row_marked(name, unknown)
            values = served[:, j], rederived.matrix[:, j]
            self._add("unknown row", name, predictions, differ[:, j] & from_unknown, *values)
            self._add("value", name, predictions, differ[:, j] & ~from_unknown, *values)
        for r, (role, layout) in enumerate(self.rederived.features.roles.items()):
            no_column = unknown[:, r] & ~self._column_marked(layout.view, differ)
            ages = _age_s(predictions.at, predictions.row_at[:, r]), _age_s(predictions.at, rederived.served_at[:, r])
            self._add("unknown row", f"{role} row", predictions, no_column, *ages)
        return _any(np.hstack([differ, unknown]))

    def freshness(self, max_lag: Micros) -> Flags:
        """Add the lags of served rows, and what differs because of longer ones; (n,) which predictions had those."""
        outdated, lag = self.rederived.outdated, self.rederived.lag
        stale = np.zeros(len(self.predictions), np.bool_)
        now = ~self.predictions.earlier[self.rederived.maybe_outdated]
        self.tally.add_lags(lag.max(axis=1)[outdated.any(axis=1) & now])
        too_long = np.flatnonzero((lag > max_lag).any(axis=1))
        if len(too_long):
            differ = self._add_stale(too_long, lag[too_long] > max_lag)
            stale[self.rederived.maybe_outdated[too_long]] = differ | now[too_long]
        return stale

    def _add_stale(self, which: Instants, stale: Flags) -> Flags:
        """Add the columns that newer rows would have changed; (k,) which predictions have any.

        Args:
            which: (k,) positions in `maybe_outdated`.
            stale: (k, roles) which of their rows had been outdated for too long.
        """
        rederived, indices = self.rederived, self.rederived.maybe_outdated[which]
        predictions = self.predictions.take(indices)
        fresh = {
            role: np.where(stale[:, r, None], rederived.newest[role][which], rederived.served[role][indices])
            for r, role in enumerate(rederived.features.roles)
        }
        expected = evaluate(self.contract, fresh, predictions.at, [None] * len(predictions), rederived.features).matrix
        missing = stale & (predictions.row_at == 0)
        differ = ~same(expected, rederived.matrix[indices])
        for j, name in enumerate(self.contract.names):
            differ[:, j] &= view_of(name, self.rederived.features) is not None
            from_missing = self._row_marked(name, missing)
            values = predictions.vector[:, j], expected[:, j]
            self._add("missing row", name, predictions, differ[:, j] & from_missing, *values)
            self._add("stale row", name, predictions, differ[:, j] & ~from_missing, *values)
        for r, (role, layout) in enumerate(self.rederived.features.roles.items()):
            no_column = stale[:, r] & ~self._column_marked(layout.view, differ) & ~predictions.earlier
            ages = (
                _age_s(predictions.at, predictions.row_at[:, r]),
                _age_s(predictions.at, rederived.newest_at[which, r]),
            )
            self._add("missing row", f"{role} row", predictions, no_column & missing[:, r], *ages)
            self._add("stale row", f"{role} row", predictions, no_column & ~missing[:, r], *ages)
        return _any(differ)

    def _add(
        self,
        kind: DifferenceKind,
        column: str,
        predictions: LoggedPredictions,
        differ: Flags,
        served: _Values,
        expected: _Values,
    ) -> None:
        """Add those of the n predictions where `differ`, (n,), is true."""
        indices = np.flatnonzero(differ)
        if len(indices):
            self.tally.add_difference(kind, column, predictions, indices, served[indices], expected[indices])

    def _row_marked(self, column: str, rows: Flags) -> Flags:
        """(n,) whether any row that the column is read from is marked in (n, roles)."""
        features = self.rederived.features
        names = features.reached(column) if column in features.by_name else ()
        read = {features.by_name[name].view for name in names}
        return _any(rows[:, [layout.view in read for layout in features.roles.values()]])

    def _column_marked(self, view: str, columns: Flags) -> Flags:
        """(n,) whether any column of the view is marked in (n, columns)."""
        return _any(columns[:, [view_of(name, self.rederived.features) == view for name in self.contract.names]])


def _any(marks: Flags) -> Flags:
    marked: Flags = np.asarray(marks.any(axis=1))
    return marked


def _age_s(at: Instants, row_at: Instants) -> _Values:
    """Ages of rows in seconds; NaN without a row."""
    ages: _Values = np.where(row_at > 0, (at - row_at) / clock.SECOND, np.nan)
    return ages
