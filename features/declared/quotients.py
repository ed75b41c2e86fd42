"""Recognises formulas that are one quotient of values of the same row: all quotients are computed in the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from features.formulas import Age, Base, Count, Distinct, Formula, Quotient, Total
from leads.platform.expressions import Apply, Expression, Number, Ref


class _Sum(NamedTuple):
    """A sum of features and a constant."""

    features: tuple[str, ...]
    constant: float


def as_quotient(expression: Expression, view: str, formulas: Mapping[str, Formula]) -> Quotient | None:
    """The formula `times · (a + plus) / (b + c + plus)` of plain values of the view; None if it isn't one.

    Args:
        formulas: of the features that are never negative.
    """
    match expression:
        case Apply("/", (Apply("*", (Number(times), part)) | Apply("*", (part, Number(times))), whole)):
            pass
        case Apply("/", (part, whole)):
            times = 1.0
        case _:
            return None
    above, below = _sum(part), _sum(whole)
    if above is None or below is None or len(above.features) != 1 or len(below.features) not in (1, 2):
        return None
    values = [_plain(name, view, formulas) for name in (*above.features, *below.features)]
    if any(value is None for value in values) or min(above.constant, below.constant) < 0:
        return None
    first, second, *others = [value for value in values if value is not None]
    return Quotient(first, second, times, above.constant, below.constant, others[0] if others else None)


def _sum(part: Expression) -> _Sum | None:
    match part:
        case Ref(feature):
            return _Sum((feature,), 0.0)
        case Number(value):
            return _Sum((), value)
        case Apply("+", (left, right)):
            one, other = _sum(left), _sum(right)
            if one is None or other is None:
                return None
            return _Sum(one.features + other.features, one.constant + other.constant)
        case _:
            return None


def _plain(name: str, view: str, formulas: Mapping[str, Formula]) -> Base | None:
    formula = formulas.get(name)
    in_view = name.partition(".")[0] == view
    return formula if in_view and isinstance(formula, Count | Total | Distinct | Age) else None
