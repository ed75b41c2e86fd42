"""Inputs that grow with the platform's age: shown, but no drift.

Lifetime counters and ages rise for as long as the platform runs. So does a window of 90 days until the log is that old.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from leads import clock
from leads.clock import Micros
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.features import FeatureDeclaration, FeatureDeclarations, in_order

_HOURS = {"1h": 1, "24h": 24, "7d": 168, "90d": 2_160}
# Ways to aggregate whose value rises with the number of events; shares, means and the newest value don't.
_RISING = ("count", "distinct", "sum", "max", "entropy")
# What is computed from values that all rise doesn't have to; a share never does.
_BALANCED = ("percent", "ratio")


def growing(declared: FeatureDeclarations, log_age: Micros | None) -> frozenset[str]:
    """The features that grow with the platform's age.

    Args:
        declared: beside the built-in ones.
        log_age: how long the platform's log was at the reference, µs; None if that isn't known.
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
def _growing(of: _Features, reached_h: int | None) -> frozenset[str]:
    found: set[str] = set()
    features = of.features
    for name in in_order({name: one.needs for name, one in features.items()}):
        one = features[name]
        rising = [need in found for need in one.needs]
        balanced = one.own_unit == "share" or (all(rising) and one.own_unit in _BALANCED)
        counts_longer = one.way in _RISING and _longer(one.window, reached_h)
        if one.age is not None or counts_longer or (any(rising) and not balanced):
            found.add(name)
    return frozenset(found)


def _longer(window: str | None, reached_h: int | None) -> bool:
    """Whether a window is longer than the log was, or has no end."""
    if window is None:
        return False
    return window == "ever" or (reached_h is not None and _HOURS[window] > reached_h)
