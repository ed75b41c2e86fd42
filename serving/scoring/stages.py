"""Where the time of a scoring call goes: consecutive stages, for metrics, traces and the prediction log."""

from __future__ import annotations

import time
from typing import NamedTuple


class Stage(NamedTuple):
    """One stage of a call. `began` and `ended` are ns since epoch, on a clock that is monotonic within a call."""

    name: str
    began: int
    ended: int

    @property
    def seconds(self) -> float:
        return (self.ended - self.began) / 1e9


class Stages:
    """A call's stopwatch. Not thread-safe: one call, one stopwatch.

    >>> stages = Stages()
    >>> stages.mark("lookup").name
    'lookup'
    >>> [stage.name for stage in stages.done]
    ['lookup']
    """

    def __init__(self) -> None:
        self._epoch = time.time_ns() - time.perf_counter_ns()
        self._last = self._began = time.perf_counter_ns() + self._epoch
        self.done: list[Stage] = []

    def mark(self, name: str) -> Stage:
        """End the current stage under this name, and return it. Several stages may have the same name."""
        now = time.perf_counter_ns() + self._epoch
        stage = Stage(name, self._last, now)
        self.done.append(stage)
        self._last = now
        return stage

    @property
    def took_us(self) -> int:
        """µs from the start to the end of the latest stage."""
        return (self._last - self._began) // 1_000
