"""Computes features that are arithmetic over other features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from features.layout import LARGEST, Matrix
from leads.platform.expressions import Apply, Expression, Number, Ref

Doubles = npt.NDArray[np.float64]
_Step = Callable[[Sequence[Doubles]], Doubles]


class Arithmetic:
    """Formulas over values of features, compiled once. All computing is in float64.

    Args:
        formulas: by feature, each after those that it names.
        plain: the features whose values are given.
    """

    def __init__(self, formulas: Mapping[str, Expression], plain: Sequence[str]) -> None:
        places = {name: i for i, name in enumerate((*plain, *formulas))}
        self._steps = [_compiled(formula, places) for formula in formulas.values()]

    def compute(self, plain: Matrix) -> list[Doubles]:
        """The values of the formulas, each (n,); NaN where a value is missing or isn't defined. They are limited
        as values of events are.

        Args:
            plain: (k, n) float32, in the order of `plain`.
        """
        values = list(plain.astype(np.float64))
        n = len(values)
        with np.errstate(over="ignore", invalid="ignore"):
            for step in self._steps:
                values.append(np.clip(step(values), -LARGEST, LARGEST))
        return values[n:]


def _compiled(formula: Expression, places: Mapping[str, int]) -> _Step:
    match formula:
        case Number(value):
            constant = np.array(value)
            return lambda values: constant
        case Ref(feature):
            place = places[feature]
            return lambda values: values[place]
        case Apply(name, parts):
            compute, steps = _FUNCTIONS[name], [_compiled(part, places) for part in parts]
            return lambda values: compute(*[step(values) for step in steps])


def _divided(part: Doubles, whole: Doubles) -> Doubles:
    return np.divide(part, np.where(whole == 0, np.nan, whole))


def _log1p(value: Doubles) -> Doubles:
    return np.log1p(np.where(value > -1, value, np.nan))


_FUNCTIONS: Mapping[str, Callable[..., Doubles]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _divided,
    "log1p": _log1p,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
}
