"""Computes formulas from base values, all quotients in the same steps.

Arrays have one row per value and one column per subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from features.formulas import Base, DaysBefore, Entropy, Quotient, RowFormula
from features.layout import Matrix

Doubles = npt.NDArray[np.float64]

# Arrays, because NumPy takes longer with Python's numbers.
_ZERO, _SIX, _NAN = (np.array(number, np.float32) for number in (0, 6, np.nan))
_TINY, _TEN_THOUSAND, _PLUS_ZERO = np.array(np.finfo(np.float64).tiny), np.array(1e4), np.array(0.0)


class Outputs:
    """Adds rows with the values of formulas to the rows of base values.

    Args:
        formulas: each with the rows of the base values that it needs.
        start: the first row after the base values.

    Attributes:
        places: the row of each formula's value.
        width: the number of all rows.
    """

    def __init__(self, formulas: Sequence[tuple[RowFormula, Mapping[Base, int]]], start: int) -> None:
        quotients = [(j, f, at) for j, (f, at) in enumerate(formulas) if isinstance(f, Quotient)]
        entropies = [(j, f, at) for j, (f, at) in enumerate(formulas) if isinstance(f, Entropy)]
        means = [(f.whole, at) for _, f, at in quotients if isinstance(f.whole, DaysBefore)]
        # A row of zeros, which is added to a divisor of one term.
        self._zero = start
        self._means = slice(start + 1, start + 1 + len(means))
        self._quotients = slice(self._means.stop, self._means.stop + len(quotients))
        self.width = self._quotients.stop + len(entropies)
        self.places = [-1 if isinstance(f, Quotient | Entropy) else at[f] for f, at in formulas]
        for row, (j, _, _) in enumerate([*quotients, *entropies], self._quotients.start):
            self.places[j] = row
        self._weeks = np.array([at[mean.week] for mean, at in means] + [at[mean.today] for mean, at in means], np.intp)
        rows = iter(range(self._means.start, self._means.stop))
        wholes = [next(rows) if isinstance(f.whole, DaysBefore) else at[f.whole] for _, f, at in quotients]
        others = [self._zero if f.other is None else at[f.other] for _, f, at in quotients]
        self._terms = np.array([at[f.part] for _, f, at in quotients] + wholes + others, np.intp)
        self._plus = _column([f.part_plus for _, f, _ in quotients] + [f.whole_plus for _, f, _ in quotients])
        self._times = _column([f.times for _, f, _ in quotients])
        self._spreads = [np.array([at[part] for part in f.parts], np.intp) for _, f, at in entropies]

    def add(self, values: Matrix) -> None:
        """Fill the rows after the base values.

        Args:
            values: (`width`, n) float32.
        """
        if self._weeks.size:
            weeks = values.take(self._weeks, 0)
            k = len(weeks) // 2
            means = np.subtract(weeks[:k], weeks[k:], out=values[self._means])
            np.maximum(means, _ZERO, out=means)
            np.divide(means, _SIX, out=means)
        if self._times.size:
            values[self._zero] = 0
            self._divide(values)
        for row, parts in enumerate(self._spreads, self._quotients.stop):
            values[row] = _entropy(values.take(parts, 0))

    def _divide(self, values: Matrix) -> None:
        k = len(self._times)
        terms = values.take(self._terms, 0)
        terms[: 2 * k] += self._plus
        parts, wholes, others = terms[:k], terms[k : 2 * k], terms[2 * k :]
        parts *= self._times
        wholes += others
        np.putmask(wholes, wholes <= _ZERO, _NAN)
        np.divide(parts, wholes, out=values[self._quotients])


def _column(numbers: Sequence[float]) -> Matrix:
    return np.array(numbers, np.float32)[:, None]


def _entropy(parts: Matrix) -> Doubles:
    """(n,) the entropy of (k, n) parts."""
    plays = np.ascontiguousarray(parts.T, np.float64)
    whole = np.add.reduce(plays, 1, keepdims=True)
    np.putmask(whole, whole <= _PLUS_ZERO, _NAN)
    shares = plays / whole
    # A share of 0 adds 0 · log2(tiny), which is -0.0.
    bits = np.log2(np.maximum(shares, _TINY))
    bits *= shares
    found: Doubles = np.negative(np.add.reduce(bits, 1))
    # Rounded because the last bits of a logarithm depend on how many rows are computed at once; + 0.0 removes -0.0.
    found *= _TEN_THOUSAND
    np.rint(found, out=found)
    found /= _TEN_THOUSAND
    found += _PLUS_ZERO
    return found
