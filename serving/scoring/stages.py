"""Where the time of a scoring call goes: consecutive stages, for metrics, traces and the prediction log."""

from __future__ import annotations

import time
from typing import NamedTuple


class Stage(NamedTuple):
    """One stage of a call. `began` and `ended` are ns since epoch on a clock that never steps back within a call."""

    name: str
    began: int
    ended: int

    @property
    def seconds(self) -> float:
        return (self.ended - self.began) / 1e9


class Stages:
    """A call's stopwatch. Not thread-safe: one call, one stopwatch.

    >>> stages = Stages()
    >>> stages.mark("lookup")
    >>> [stage.name for stage in stages.done]
    ['lookup']
    """

    def __init__(self) -> None:
        self._epoch = time.time_ns() - time.perf_counter_ns()
        self._last = self._began = time.perf_counter_ns() + self._epoch
        self.done: list[Stage] = []

    def mark(self, name: str) -> None:
        """What happened since the last mark was `name`; a name may come more than once."""
        now = time.perf_counter_ns() + self._epoch
        self.done.append(Stage(name, self._last, now))
        self._last = now

    @property
    def took_us(self) -> int:
        """From the start to the last mark, in µs."""
        return (self._last - self._began) // 1_000
