"""A contract compiled into the steps that compute its matrix. Training, batch and online scoring all use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.catalogue import BY_NAME, TEXT, Feature, TextFeature
from features.contract import Column, FeatureContract
from features.evaluate.role import Outputs, RolePlan
from features.evaluate.row_times import RowTimes
from features.formulas import Base, Formula
from features.layout import ROLES, VISIBLE, Instants, Matrix
from leads.text import present, visible

_TEXT_PLACES = {feature.name: i for i, feature in enumerate(TEXT)}


class Evaluated(NamedTuple):
    """The model input for n subjects.

    Args:
        matrix: (n, columns) float32.
        refused: (n,) index of the first column whose rule refuses a score; -1 if none does.
        too_old: (n,) whether a stored value was older than its column allows.
    """

    matrix: Matrix
    refused: npt.NDArray[np.int64]
    too_old: npt.NDArray[np.bool_]

    def only(self, kept: npt.NDArray[np.int64]) -> Evaluated:
        """The rows of these subjects."""
        return Evaluated(self.matrix[kept], self.refused[kept], self.too_old[kept])


class _Ruled(NamedTuple):
    """A stored column with a rule: its index in the contract, and its place in the outputs by role."""

    j: int
    column: Column
    at: tuple[tuple[str, int], ...]


class Plan:
    """A compiled contract. Thread-safe: it keeps no state between calls.

    Raises:
        KeyError: the contract names a feature that this version of the code doesn't have.
    """

    def __init__(self, contract: FeatureContract) -> None:
        self._width = len(contract.columns)
        self._roles: dict[str, RolePlan] = {}
        columns = list(enumerate(contract.columns))
        stored = [(j, c, f) for j, c in columns if isinstance(f := BY_NAME[c.name], Feature)]
        texts = [(j, c) for j, c in columns if isinstance(BY_NAME[c.name], TextFeature)]
        places: dict[tuple[str, int], int] = {}
        formulas: list[tuple[Formula, dict[Base, int]]] = []
        for role, layout in ROLES.items():
            mine = [(j, f.formula) for j, _, f in stored if f.view == layout.view]
            if mine:
                plan = RolePlan(layout, [formula for _, formula in mine], self._base_width())
                self._roles[role] = plan
                places.update({(role, j): len(formulas) + k for k, (j, _) in enumerate(mine)})
                formulas += [(formula, plan.bases) for _, formula in mine]
        self._values = self._base_width()
        self._outputs = Outputs(formulas)
        of = {j: [(role, places[role, j]) for role in self._roles if (role, j) in places] for j, _, _ in stored}
        self._single = _pairs([(j, at[0][1]) for j, at in of.items() if len(at) == 1], 2)
        self._paired = _pairs([(j, at[0][1], at[1][1]) for j, at in of.items() if len(at) == 2], 3)
        self._ruled = [_Ruled(j, c, tuple(of[j])) for j, c, _ in stored if c.has_rule]
        self._text = _pairs([(j, _TEXT_PLACES[c.name]) for j, c in texts], 2)
        self._text_ruled = [(j, c) for j, c in texts if c.has_rule]

    @property
    def reads_text(self) -> bool:
        """Whether any column is computed from the text."""
        return bool(self._text.size)

    def evaluate(
        self,
        packed: Mapping[str, Matrix],
        as_of: Instants,
        texts: Sequence[str | None],
        counts: Matrix | None = None,
    ) -> Evaluated:
        """Compute the model input and apply the contract's rules. Nothing else computes model input.

        Args:
            packed: for each role (n, width) float32, NaN rows for missing entities.
            as_of: (n,) times in µs at which the features are evaluated.
            texts: (n,) texts; None where the subject has none.
            counts: (n, len(TEXT)) the `text_counts` of the texts, if the caller has them already.
        """
        n = len(as_of)
        matrix = np.full((n, self._width), np.nan, np.float32)
        found = Evaluated(matrix, np.full(n, -1, np.int64), np.zeros(n, np.bool_))
        present = [role for role in self._roles if not np.isnan(packed[role][:, VISIBLE]).all()]
        if present:
            times = RowTimes([packed[role] for role in present], as_of)
            values = np.full((n, self._values), np.nan, np.float32)
            for nth, role in enumerate(present):
                self._roles[role].read(packed[role], times, nth, values)
            ages = dict(zip(present, times.age_s, strict=True)) if self._ruled else {}
            self._put(self._outputs.of(values), ages, found)
        else:
            for ruled in self._ruled:
                _apply_rule(ruled.column, ruled.j, np.ones(n, np.bool_), found)
        self._put_texts(texts, counts, found)
        return found

    def _put(self, outputs: Matrix, ages: Mapping[str, npt.NDArray[np.float64]], found: Evaluated) -> None:
        absent = [_drop_too_old(ruled, outputs, ages, found.too_old) for ruled in self._ruled]
        into, place = self._single
        found.matrix[:, into] = outputs[:, place]
        into, place, other = self._paired
        if len(into):
            found.matrix[:, into] = np.fmax(outputs[:, place], outputs[:, other])
        for ruled, which in zip(self._ruled, absent, strict=True):
            _apply_rule(ruled.column, ruled.j, which, found)

    def _put_texts(self, texts: Sequence[str | None], counts: Matrix | None, found: Evaluated) -> None:
        if not self.reads_text:
            return
        into, place = self._text
        found.matrix[:, into] = (text_counts(texts) if counts is None else counts)[:, place]
        for j, column in self._text_ruled:
            _apply_rule(column, j, np.array([present(text) is None for text in texts], np.bool_), found)

    def _base_width(self) -> int:
        return sum(plan.width for plan in self._roles.values())


def text_counts(texts: Sequence[str | None]) -> Matrix:
    """(n, len(TEXT)) float32 text features, of what is visible of each text; NaN where there is no text."""
    nothing = (np.nan,) * len(TEXT)
    rows = [nothing if (given := present(text)) is None else _counts(visible(given)) for text in texts]
    return np.array(rows, np.float32).reshape(len(texts), len(TEXT))


def _counts(text: str) -> tuple[float, ...]:
    return tuple(feature.compute(text) for feature in TEXT)


def _pairs(rows: Sequence[tuple[int, ...]], n: int) -> npt.NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(-1, n).T.copy()


def _drop_too_old(
    ruled: _Ruled, outputs: Matrix, ages: Mapping[str, npt.NDArray[np.float64]], too_old: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Set values of rows older than the column allows to NaN and note them in `too_old`; returns who has no value left.

    Args:
        ages: by present role, (n,) seconds.
    """
    limit = np.inf if ruled.column.max_age_s is None else ruled.column.max_age_s
    absent = np.ones(len(too_old), dtype=np.bool_)
    for role, k in ruled.at:
        if role in ages:
            known = np.isfinite(ages[role])
            fresh = known & (ages[role] <= limit)
            outputs[~fresh, k] = np.nan
            np.logical_or(too_old, known & ~fresh, out=too_old)
            absent &= ~fresh
    return absent


def _apply_rule(column: Column, j: int, absent: npt.NDArray[np.bool_], found: Evaluated) -> None:
    """Replace the values of the subjects for which it is absent or too old."""
    found.matrix[absent, j] = column.default if column.when_missing == "default" else np.nan
    if column.when_missing == "refuse":
        refused = found.refused
        # Keep the first column in the contract's order, whatever order they are applied in.
        refused[absent & ((refused < 0) | (refused > j))] = j
