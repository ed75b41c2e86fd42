"""How a cost grows with a size."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

from benchmarks.timing import timed


def exponent(costs: Mapping[int, float]) -> float:
    """The `e` of cost ∝ size^e, fitted to the logarithms by least squares.

    >>> round(exponent({10: 2.0, 100: 20.0, 1_000: 200.0}), 9)
    1.0
    """
    slope = statistics.linear_regression([math.log(size) for size in costs], [math.log(x) for x in costs.values()])[0]
    return float(slope)


def p50_ms(work: Callable[[], object], repeats: int) -> float:
    """The median time of the work in ms, after one call that isn't measured."""
    work()
    return 1_000 * statistics.median(timed(work) for _ in range(repeats))
