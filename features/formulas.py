"""Formulas of features: counts, totals and distinct counts of one row, and values derived from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from features.layout import MIX, Matrix


class Count(NamedTuple):
    """A counter's value in a window."""

    counter: str
    window: str


class Total(NamedTuple):
    """An all-time total, or a maximum."""

    name: str


class Distinct(NamedTuple):
    """An estimate of how many different elements occurred in a window: -m ln(1 - filled/m) for m slots."""

    sketch: str
    window: str


class Age(NamedTuple):
    """Hours since the entity was first seen."""


Base = Count | Total | Distinct | Age


class Ratio(NamedTuple):
    """`times` · `part` / `whole`; NaN where `whole` is 0."""

    part: Base
    whole: Base
    times: float = 1.0


class Derived(NamedTuple):
    """Any other formula: `compute` turns the (n, k) float32 values of `bases` into (n,) float32."""

    bases: tuple[Base, ...]
    compute: Callable[[Matrix], Matrix]


Formula = Base | Ratio | Derived


def share(part: str, whole: str, window: str) -> Ratio:
    """One count divided by another."""
    return Ratio(Count(part, window), Count(whole, window))


def per_distinct(counter: str, sketch: str, window: str) -> Ratio:
    """A count per distinct element."""
    return Ratio(Count(counter, window), Distinct(sketch, window))


def velocity(counter: str, window: str, hours: int) -> Ratio:
    """The last hour's count over the window's hourly mean: 1 is an even rate, NaN where nothing was counted."""
    return Ratio(Count(counter, "1h"), Count(counter, window), float(hours))


def surge(counter: str) -> Derived:
    """The count of the last 24 h over 1 + the daily mean of the 6 days before."""
    return Derived((Count(counter, "24h"), Count(counter, "7d")), _surge)


def rate(part: str, whole: str, window: str) -> Derived:
    """`part` per hundred of `whole` + 1; the 1 damps rates that rest on few plays."""
    return Derived((Count(part, window), Count(whole, window)), _rate)


def share_of_both(one: str, other: str) -> Derived:
    """One total's share in the sum of two totals; NaN where the sum is 0."""
    return Derived((Total(one), Total(other)), _share_of_both)


def likelihood(right: str, wrong: str) -> Derived:
    """Mean of a Beta(1 + right, 1 + wrong) over two totals."""
    return Derived((Total(right), Total(wrong)), _likelihood)


def entropy(window: str) -> Derived:
    """Entropy of plays over the `MIX` counters, in bits: 0 for one track on repeat, at most 4; NaN without plays."""
    return Derived(tuple(Count(name, window) for name in MIX), _entropy)


def _surge(values: Matrix) -> Matrix:
    today, week = values.T
    surge: Matrix = today / (1 + np.maximum(week - today, 0) / np.float32(6))
    return surge


def _rate(values: Matrix) -> Matrix:
    part, whole = values.T
    rate: Matrix = np.float32(100) * part / (whole + 1)
    return rate


def _share_of_both(values: Matrix) -> Matrix:
    whole = values[:, 0] + values[:, 1]
    shares: Matrix = np.divide(values[:, 0], whole, out=np.full(len(values), np.nan, np.float32), where=whole > 0)
    return shares


def _likelihood(values: Matrix) -> Matrix:
    right, wrong = values.T
    mean: Matrix = (1 + right) / (2 + right + wrong)
    return mean


def _entropy(values: Matrix) -> Matrix:
    plays = values.astype(np.float64)
    whole = plays.sum(axis=1, keepdims=True)
    shares = np.divide(plays, whole, out=np.full_like(plays, np.nan), where=whole > 0)
    bits = -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    # Rounded because the last bits of a logarithm depend on how many rows are computed at once; + 0.0 removes -0.0.
    rounded: Matrix = (np.round(bits, 4) + 0.0).astype(np.float32)
    return rounded
