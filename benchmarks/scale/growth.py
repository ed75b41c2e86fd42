"""How a cost grows with a size."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.report import Measure
from benchmarks.timing import timed

_SIZED = re.compile(r"(?:(?P<where>[^:]+), )?(?P<size>[\d,]+) (?P<of>events|items|leads): (?P<what>.+)")


class Key(NamedTuple):
    """What a series is about: `folded` of `events`; `where` is the database, if there are several."""

    of: str
    what: str
    where: str = ""


class Series(NamedTuple):
    """One measure at several sizes.

    Args:
        bar: its limit, at the largest size; None if it has none.
    """

    unit: str
    values: dict[int, float]
    bar: float | None

    @property
    def largest(self) -> float:
        """The value at the largest size."""
        return self.values[max(self.values)]

    @property
    def exponent(self) -> float | None:
        """That of the cost: of the time per unit for a rate, of the value for anything else. None for a single size."""
        if len(self.values) < 2:
            return None
        found = exponent(self.values)
        return -found if self.unit.endswith("/s") else found


def series_of(measures: Sequence[Measure]) -> dict[Key, Series]:
    """The measures whose names have a size, such as `SQLite, 10,000 leads: claim of 10`, without those that failed.

    >>> series_of([Measure("10 events: folded", 5.0, "events/s"), Measure("20 events: folded", 4.0, "events/s")])
    {Key(of='events', what='folded', where=''): Series(unit='events/s', values={10: 5.0, 20: 4.0}, bar=None)}
    """
    found: dict[Key, Series] = {}
    for measure in measures:
        named = _SIZED.fullmatch(measure.name)
        if named is None or measure.value is None or measure.value <= 0:
            continue
        key = Key(named["of"], named["what"], named["where"] or "")
        before = found[key].values if key in found else {}
        bar = float(measure.bar[1:]) if measure.bar else None
        found[key] = Series(measure.unit, {**before, int(named["size"].replace(",", "")): measure.value}, bar)
    return found


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
