"""Durations, and how two series of them compare."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of `above / below`, pair by pair, so that whatever slows both down at once cancels out."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
