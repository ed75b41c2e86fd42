"""Inputs that grow with the platform's age: shown, but no drift.

Lifetime counters and ages rise for as long as the platform runs. A window of 90 days is cut off until the log is that
old: until then, what is counted in it rises, shares in it settle, and it is empty less often. So an input whose window
reaches back beyond the log's first event, now or at the baseline, can't be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from leads import clock
from leads.clock import Micros
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.features import FeatureDeclaration, FeatureDeclarations, in_order
from monitoring.summaries.summary import MISSING

_HOURS = {"1h": 1, "24h": 24, "7d": 168, "90d": 2_160}
# Lifetime shares have settled when those of the longest window have.
_SETTLED_H = max(_HOURS.values())
# What a surge compares with: the six days before the last one.
_SURGE_H = _HOURS["7d"]
# Ways to aggregate whose value rises with the number of events; shares, means and the newest value don't.
_RISING = ("count", "distinct", "sum", "max", "entropy")
# What is computed from values that all rise doesn't have to; a share never does.
_BALANCED = ("percent", "ratio")


class Growth(NamedTuple):
    """Columns that grow with the platform's age.

    Args:
        lifetime: inputs that grow for ever: ages and lifetime counters.
        cut_off: inputs whose windows reach back beyond the log's first event.
    """

    lifetime: frozenset[str]
    cut_off: frozenset[str]

    def has(self, column: str) -> bool:
        """Whether a column, an input or `… is missing`, is no drift."""
        # Whether a value is missing doesn't grow for ever.
        return column in self.lifetime or column.removesuffix(MISSING) in self.cut_off


def growing(declared: FeatureDeclarations, log_age: Micros | None) -> Growth:
    """The features that grow with the platform's age.

    Args:
        declared: beside the built-in ones.
        log_age: how long the platform's log was where the baseline begins, µs; None if that isn't known.
    """
    hours = None if log_age is None else log_age // clock.HOUR
    # One set for each length that makes a difference.
    reached = None if hours is None else max((length for length in _HOURS.values() if length <= hours), default=0)
    features = {**BUILT_IN_FEATURES, **declared}
    return _growing(_Features(features), reached)


class _Features:
    """Declarations as a key of a cache, compared by their identity."""

    def __init__(self, features: Mapping[str, FeatureDeclaration]) -> None:
        self.features = features
        self._key = tuple((name, id(one)) for name, one in features.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Features) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=32)
def _growing(of: _Features, reached_h: int | None) -> Growth:
    lifetime: set[str] = set()
    cut_off: set[str] = set()
    features = of.features
    for name in in_order({name: one.needs for name, one in features.items()}):
        one = features[name]
        rising = [need in lifetime for need in one.needs]
        balanced = one.own_unit == "share" or (all(rising) and one.own_unit in _BALANCED)
        counts_for_ever = one.way in _RISING and one.window == "ever"
        if one.age is not None or counts_for_ever or (any(rising) and not balanced):
            lifetime.add(name)
        if reached_h is not None and (_window_h(one) > reached_h or any(need in cut_off for need in one.needs)):
            cut_off.add(name)
    return Growth(frozenset(lifetime), frozenset(cut_off - lifetime))


def _window_h(one: FeatureDeclaration) -> int:
    """How far back a feature looks, in hours; 0 if it has no window."""
    if one.way == "surge":
        return _SURGE_H
    return 0 if one.window is None else _HOURS.get(one.window, _SETTLED_H)
