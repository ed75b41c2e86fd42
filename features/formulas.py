"""Formulas of features: counts, totals and distinct counts of one row, and values derived from them."""

from __future__ import annotations

from typing import NamedTuple

from features.layout import MIX


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


Formula = Base | Quotient | Entropy


def share(part: str, whole: str, window: str) -> Quotient:
    """One count divided by another."""
    return Quotient(Count(part, window), Count(whole, window))


def per_distinct(counter: str, sketch: str, window: str) -> Quotient:
    """A count per distinct element."""
    return Quotient(Count(counter, window), Distinct(sketch, window))


def velocity(counter: str, window: str, hours: int) -> Quotient:
    """The last hour's count over the window's hourly mean: 1 is an even rate, NaN where nothing was counted."""
    return Quotient(Count(counter, "1h"), Count(counter, window), times=float(hours))


def surge(counter: str) -> Quotient:
    """The count of the last 24 h over 1 + the daily mean of the 6 days before."""
    return Quotient(Count(counter, "24h"), DaysBefore(counter), whole_plus=1)


def rate(part: str, whole: str, window: str) -> Quotient:
    """`part` per hundred of `whole` + 1; the 1 damps rates that rest on few plays."""
    return Quotient(Count(part, window), Count(whole, window), times=100, whole_plus=1)


def share_of_both(one: str, other: str) -> Quotient:
    """One total's share in the sum of two totals; NaN where the sum is 0."""
    return Quotient(Total(one), Total(one), other=Total(other))


def likelihood(right: str, wrong: str) -> Quotient:
    """Mean of a Beta(1 + right, 1 + wrong) over two totals."""
    return Quotient(Total(right), Total(right), part_plus=1, whole_plus=2, other=Total(wrong))


def entropy(window: str) -> Entropy:
    """Entropy of plays over the `MIX` counters: 0 for one track on repeat, at most 4; NaN without plays."""
    return Entropy(tuple(Count(name, window) for name in MIX))


def bases_of(formula: Formula) -> tuple[Base, ...]:
    """The base values that a formula needs."""
    match formula:
        case Quotient(part, whole, other=other):
            wholes = (whole.today, whole.week) if isinstance(whole, DaysBefore) else (whole,)
            return (part, *wholes) if other is None else (part, *wholes, other)
        case Entropy(parts):
            return parts
        case _:
            return (formula,)
