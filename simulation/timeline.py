"""When events become visible: their delays, and the strict order in which they are written."""

from __future__ import annotations

from operator import itemgetter
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from leads.clock import MINUTE, SECOND, Micros
from leads.events import Body, RecordedEvent

IntArray = npt.NDArray[np.int64]

# Mobile players that were offline send their plays when they reconnect.
MOBILE_LATE_SHARE = 0.025
_MIN_LATE, _MAX_LATE = 1 * MINUTE, 6 * 60 * MINUTE


class Draft(NamedTuple):
    """An event before it has an id. Times in µs; the timeline may delay `visible_at` to keep it strictly increasing."""

    visible_at: Micros
    occurred_at: Micros
    body: Body


class Timeline:
    """Holds drafts and releases them as events with strictly increasing `visible_at`."""

    def __init__(self, id_prefix: str) -> None:
        self._prefix = id_prefix
        self._waiting: list[Draft] = []
        self._written = 0
        self._last: Micros = 0

    def add(self, draft: Draft) -> None:
        self._waiting.append(draft)

    def extend(self, drafts: list[Draft]) -> None:
        self._waiting.extend(drafts)

    def take(self, until: Micros) -> list[RecordedEvent]:
        """Remove and return the events visible before `until`, in order."""
        # The sort is stable: drafts with equal times keep the order in which they were added.
        self._waiting.sort(key=itemgetter(0))
        taken: list[RecordedEvent] = []
        for visible_at, occurred_at, body in self._waiting:
            at = max(visible_at, self._last + 1)
            if at >= until:
                break
            self._last = at
            self._written += 1
            taken.append(RecordedEvent(f"{self._prefix}{self._written:08d}", occurred_at, at, body))
        del self._waiting[: len(taken)]
        return taken


def server_event(rng: Random, occurred_at: Micros, body: Body) -> Draft:
    """An event sent by a server: visible within about two seconds."""
    return Draft(occurred_at + int(min(rng.lognormvariate(-1.2, 0.7), 2.0) * SECOND) + 1, occurred_at, body)


def play_delays(rng: Generator, n: int) -> IntArray:
    """(n,) µs: mostly under two seconds, for a small share minutes to hours."""
    delays = np.minimum(rng.lognormal(-0.9, 0.8, n), 10.0) * SECOND + 1
    late = rng.random(n) < MOBILE_LATE_SHARE
    delays[late] = np.exp(rng.uniform(np.log(_MIN_LATE), np.log(_MAX_LATE), int(late.sum())))
    return delays.astype(np.int64)
