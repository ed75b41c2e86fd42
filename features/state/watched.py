"""A state store that remembers whether it has failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from features.state.store import StateStore


class WatchedState:
    """Passes calls on to `inner`. `failed`: one of them raised an error.

    A fold reads the state in the middle of a batch of events. If that fails, it has counted a part of the batch, so
    nothing it holds can be used any more.
    """

    def __init__(self, inner: StateStore) -> None:
        self.failed = False
        self._inner = inner

    def position(self) -> int:
        with self._watched():
            return self._inner.position()

    def get(self, view: str, keys: Sequence[str]) -> dict[str, bytes]:
        with self._watched():
            return self._inner.get(view, keys)

    def commit(self, position: int, changed: Mapping[str, Mapping[str, bytes]]) -> None:
        with self._watched():
            self._inner.commit(position, changed)

    def scan(self, view: str) -> Iterator[dict[str, bytes]]:
        with self._watched():
            yield from self._inner.scan(view)

    def close(self) -> None:
        self._inner.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.failed = True
            raise
