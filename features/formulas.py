"""Formulas of features: values that a row holds, and values derived from them."""

from __future__ import annotations

from typing import NamedTuple

from leads.platform.expressions import Expression


class Count(NamedTuple):
    """A counter's value in a window."""

    counter: str
    window: str


class Total(NamedTuple):
    """An all-time total, or a maximum."""

    name: str


class Distinct(NamedTuple):
    """An estimate of how many different elements occurred in a window, or `ever`: -m ln(1 - filled/m) for m slots."""

    sketch: str
    window: str


class Age(NamedTuple):
    """Hours since the entity was first seen."""


class Peak(NamedTuple):
    """The highest value in a window, or `ever`; NaN if there was none."""

    name: str
    window: str


class Latest(NamedTuple):
    """The newest value, if its event is within the window, or `ever`; NaN otherwise."""

    name: str
    window: str


Base = Count | Total | Distinct | Age | Peak | Latest


class DaysBefore(NamedTuple):
    """A counter's daily mean over the 6 days before the last 24 hours."""

    counter: str

    @property
    def today(self) -> Count:
        return Count(self.counter, "24h")

    @property
    def week(self) -> Count:
        return Count(self.counter, "7d")


class Quotient(NamedTuple):
    """`times` · (`part` + `part_plus`) / (`whole` + `whole_plus` + `other`); NaN unless the divisor is positive."""

    part: Base
    whole: Base | DaysBefore
    times: float = 1.0
    part_plus: float = 0.0
    whole_plus: float = 0.0
    other: Base | None = None


class Entropy(NamedTuple):
    """Entropy of how a sum is spread over `parts`, in bits, rounded to 4 decimals; NaN where the sum is 0."""

    parts: tuple[Base, ...]


class Computed(NamedTuple):
    """Arithmetic over other features; NaN where one of them is."""

    expression: Expression


# What is read from one row.
RowFormula = Base | Quotient | Entropy
Formula = RowFormula | Computed


def bases_of(formula: Formula) -> tuple[Base, ...]:
    """The base values that a formula needs."""
    match formula:
        case Quotient(part, whole, other=other):
            wholes = (whole.today, whole.week) if isinstance(whole, DaysBefore) else (whole,)
            return (part, *wholes) if other is None else (part, *wholes, other)
        case Entropy(parts):
            return parts
        case Computed():
            return ()
        case _:
            return (formula,)
