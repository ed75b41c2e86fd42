"""A state store that fails at chosen calls, before or after the inner store has done the work."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from features.state.store import StateStore
from features.state.watched import WatchedState
from features.state_stores import open_state
from leads.errors import Unavailable


class FlakyState:
    """Passes calls on to `inner`, and raises Unavailable at some of them."""

    def __init__(self, inner: StateStore, fail: Callable[[], None]) -> None:
        self._inner = inner
        self._fail = fail
        self.close = inner.close

    def position(self) -> int:
        self._fail()
        return self._inner.position()

    def get(self, view: str, keys: Sequence[str]) -> dict[str, bytes]:
        self._fail()
        return self._inner.get(view, keys)

    def commit(self, position: int, changed: Mapping[str, Mapping[str, bytes]]) -> None:
        self._fail()
        self._inner.commit(position, changed)
        # The server has committed, and its response is lost.
        self._fail()

    def scan(self, view: str) -> Iterator[dict[str, bytes]]:
        for part in self._inner.scan(view):
            self._fail()
            yield part


class FlakyStores:
    """Stands in for `open_state`: the given share of all calls fails. `opened` counts the stores that were opened."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self.share = 0.0
        self.opened = 0

    def __call__(self, *args: Any, **options: Any) -> WatchedState:
        self.opened += 1
        return WatchedState(FlakyState(open_state(*args, **options), self._fail))

    def _fail(self) -> None:
        if self._chance.random() < self.share:
            raise Unavailable("The state store fails for a moment.")
