"""A contract compiled into the steps that compute its matrix. Training, batch and online scoring all use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.contract import Column, FeatureContract
from features.declared.feature_set import Feature, FeatureSet
from features.evaluate.arithmetic import Arithmetic
from features.evaluate.bases import BaseValues
from features.evaluate.outputs import Outputs
from features.evaluate.row_times import Doubles
from features.formulas import Computed, bases_of
from features.layout import FIRST_NUMBER, VISIBLE, Instants, Matrix
from features.text_features import TEXT, TEXT_BY_NAME
from leads.platform.expressions import features_in
from leads.text import present, visible

# How many subjects are evaluated at a time. The cells of more don't fit into a processor's cache.
BLOCK = 128
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

    def only(self, kept: npt.NDArray[np.int64] | slice) -> Evaluated:
        """The rows of these subjects."""
        return Evaluated(self.matrix[kept], self.refused[kept], self.too_old[kept])


class _Ruled(NamedTuple):
    """A stored column with a rule: its index in the contract; and, for each of its values, the role and the row.

    A column has one value, or one of each bucket.
    """

    j: int
    column: Column
    at: tuple[tuple[int, int], ...]


class _Computed(NamedTuple):
    """A column that is computed from others: its index in the contract, and the roles that it is computed from."""

    j: int
    column: Column
    place: int
    roles: tuple[int, ...]


class NotDeclared(KeyError):
    """A contract needs a feature that the live features don't have, or have otherwise. Its argument is the column."""


class Plan:
    """A compiled contract. Thread-safe: it keeps no state between calls.

    Raises:
        NotDeclared: the contract names a feature that doesn't exist, or that is declared otherwise now.
    """

    def __init__(self, contract: FeatureContract, features: FeatureSet) -> None:
        columns = list(enumerate(contract.columns))
        texts = [(j, c) for j, c in columns if c.name in TEXT_BY_NAME]
        stored = [(j, c, _declared(c, features)) for j, c in columns if c.name not in TEXT_BY_NAME]
        self.reads_text = bool(texts)
        self._width = len(columns)
        self._text = _consecutive([j for j, _ in texts])
        self._counts = _consecutive([_TEXT_PLACES[c.name] for _, c in texts])
        self._text_ruled = [(j, c) for j, c in texts if c.has_rule]
        given = [(j, c, f) for j, c, f in stored if not isinstance(f.formula, Computed)]
        self._stored = _consecutive([j for j, _, _ in given])
        self._given = len(given)
        formulas = features.formulas_of([c.name for _, c, _ in stored])
        # What is computed may need features that aren't in the contract.
        needed = {name for formula in formulas.values() for name in features_in(formula)} - formulas.keys()
        plain = [f for _, _, f in given]
        plain += [features.by_name[name] for name in sorted(needed - {f.name for f in plain})]
        # A formula per plain feature and role that it is read from.
        read = [
            (i, role, f.formula)
            for i, f in enumerate(plain)
            if not isinstance(f.formula, Computed)
            for role in _roles_of(f, features)
        ]
        self._roles = [role for role in features.roles if any(role == its for _, its, _ in read)]
        used = {role: {x for _, its, f in read if its == role for x in bases_of(f)} for role in self._roles}
        self._bases = BaseValues(used, features.roles)
        self._outputs = Outputs([(f, self._bases.places[role]) for _, role, f in read], self._bases.width)
        firsts: dict[int, tuple[int, int]] = {}
        seconds: dict[int, tuple[int, int]] = {}
        for (i, role, _), row in zip(read, self._outputs.places, strict=True):
            (seconds if i in firsts else firsts)[i] = (self._roles.index(role), row)
        self._firsts = np.array([row for _, row in firsts.values()], np.intp)
        self._seconds = np.array([row for _, row in seconds.values()], np.intp)
        self._paired = _consecutive(list(seconds))
        self._ruled = [
            _Ruled(j, column, tuple((each[i][0], list(each).index(i)) for each in (firsts, seconds) if i in each))
            for i, (j, column, _) in enumerate(given)
            if column.has_rule
        ]
        self._arithmetic = Arithmetic(formulas, [f.name for f in plain])
        order = list(formulas)
        self._computed = [
            _Computed(
                j,
                column,
                order.index(column.name),
                tuple(
                    {
                        self._roles.index(role)
                        for name in features.reached(f.name)
                        for role in self._roles
                        if features.roles[role].view == features.by_name[name].view
                    }
                ),
            )
            for j, column, f in stored
            if isinstance(f.formula, Computed)
        ]
        self._of_declared = {f.name for _, _, f in stored if features.counts_declared(f.name)}
        # A row that is missing says something about declared events.
        self._needs_rows = features.number != FIRST_NUMBER
        self._needs_ages = bool(self._ruled) or any(one.column.has_rule for one in self._computed)

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
        found = Evaluated(np.empty((n, self._width), np.float32), np.full(n, -1, np.int64), np.zeros(n, np.bool_))
        rows = [packed[role] for role in self._roles]
        if not self._needs_rows and not any(_has_row(each) for each in rows):
            self._put_nothing(found)
        elif n <= BLOCK:
            self._put_stored(rows, as_of, found)
        else:
            for start in range(0, n, BLOCK):
                part = slice(start, start + BLOCK)
                self._put_stored([each[part] for each in rows], as_of[part], found.only(part))
        self._put_texts(texts, counts, found)
        return found

    def _put_stored(self, rows: Sequence[Matrix], as_of: Instants, found: Evaluated) -> None:
        values = np.empty((self._outputs.width, len(as_of)), np.float32)
        freshness, built_in = self._bases.read(rows, as_of, values)
        self._outputs.add(values)
        outputs = values.take(self._firsts, 0), values.take(self._seconds, 0)
        absent = []
        # The ages of rows by all events, and by the built-in ones.
        ages = (freshness.ages_s(as_of), built_in.ages_s(as_of)) if self._needs_ages else None
        if ages is not None:
            absent = [
                _drop_too_old(one, outputs, ages[one.column.name not in self._of_declared], found.too_old)
                for one in self._ruled
            ]
        firsts, seconds = outputs
        if len(seconds):
            firsts[self._paired] = np.fmax(firsts[self._paired], seconds)
        found.matrix[:, self._stored] = firsts[: self._given].T
        if self._computed:
            self._put_computed(firsts, ages, found)
        for ruled, which in zip(self._ruled, absent, strict=True):
            _apply_rule(ruled.column, ruled.j, which, found)

    def _put_computed(self, plain: Matrix, ages: tuple[Doubles, Doubles] | None, found: Evaluated) -> None:
        values = self._arithmetic.compute(plain)
        for j, column, place, roles in self._computed:
            found.matrix[:, j] = values[place]
            if ages is not None and column.has_rule:
                limit = np.inf if column.max_age_s is None else column.max_age_s
                oldest = ages[column.name not in self._of_declared][list(roles)].max(axis=0)
                np.logical_or(found.too_old, np.isfinite(oldest) & (oldest > limit), out=found.too_old)
                _apply_rule(column, j, ~(np.isfinite(oldest) & (oldest <= limit)), found)

    def _put_nothing(self, found: Evaluated) -> None:
        everyone = np.ones(len(found.matrix), np.bool_)
        found.matrix[:, self._stored] = np.nan
        for ruled in self._ruled:
            _apply_rule(ruled.column, ruled.j, everyone, found)
        for one in self._computed:
            _apply_rule(one.column, one.j, everyone, found)

    def _put_texts(self, texts: Sequence[str | None], counts: Matrix | None, found: Evaluated) -> None:
        if not self.reads_text:
            return
        found.matrix[:, self._text] = (text_counts(texts) if counts is None else counts)[:, self._counts]
        for j, column in self._text_ruled:
            _apply_rule(column, j, np.array([present(text) is None for text in texts], np.bool_), found)


def text_counts(texts: Sequence[str | None]) -> Matrix:
    """(n, len(TEXT)) float32 text features, of what is visible of each text; NaN where there is no text."""
    nothing = (np.nan,) * len(TEXT)
    rows = [nothing if (given := present(text)) is None else _counts(visible(given)) for text in texts]
    return np.array(rows, np.float32).reshape(len(texts), len(TEXT))


def _counts(text: str) -> tuple[float, ...]:
    return tuple(feature.compute(text) for feature in TEXT)


def _declared(column: Column, features: FeatureSet) -> Feature:
    feature = features.by_name.get(column.name)
    # A column without a definition takes the feature as it is.
    if feature is None or column.definition not in ("", feature.definition):
        raise NotDeclared(column.name)
    return feature


def _roles_of(feature: Feature, features: FeatureSet) -> list[str]:
    return [role for role, layout in features.roles.items() if layout.view == feature.view]


def _has_row(rows: Matrix) -> bool:
    return not np.isnan(rows[:, VISIBLE]).all()


def _consecutive(places: Sequence[int]) -> slice | npt.NDArray[np.intp]:
    """The places as a slice if they are consecutive: NumPy takes less time for it."""
    first = places[0] if places else 0
    if list(places) == list(range(first, first + len(places))):
        return slice(first, first + len(places))
    return np.array(places, np.intp)


def _drop_too_old(
    ruled: _Ruled, outputs: Sequence[Matrix], ages_s: Doubles, too_old: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Set values of rows older than the column allows to NaN and note them in `too_old`; returns who has no value left.

    Args:
        ages_s: (roles, n).
    """
    limit = np.inf if ruled.column.max_age_s is None else ruled.column.max_age_s
    absent = np.ones(len(too_old), dtype=np.bool_)
    for values, (role, row) in zip(outputs, ruled.at, strict=False):
        known = np.isfinite(ages_s[role])
        fresh = known & (ages_s[role] <= limit)
        values[row, ~fresh] = np.nan
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
