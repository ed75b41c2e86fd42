"""Keeps in memory what was used last, within a limit."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values used last, which weigh at most twice `limit`. Thread-safe.

    When the new ones weigh `limit`, they become the older generation, of which only what is used again survives the
    next.

    Args:
        limit: weight of a generation.
        weigh: the weight of a value; by default, each weighs 1.
    """

    def __init__(self, limit: int, weigh: Callable[[V], int] = lambda value: 1) -> None:
        self._limit = limit
        self._weigh = weigh
        self._weight = 0
        self._newer: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The key's value; None if it has none, or none any more."""
        found = self._newer.get(key)
        if found is None:
            found = self._older.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def get_many(self, keys: Sequence[K]) -> list[V | None]:
        """Each key's value; None if it has none, or none any more."""
        found = list(map(self._newer.get, keys))
        if None in found:
            return [self.get(key) if value is None else value for key, value in zip(keys, found, strict=True)]
        return found

    def put(self, key: K, value: V) -> None:
        """Remember a value. A key that had one already may count twice until the next generation."""
        self._newer[key] = value
        self._weight += self._weigh(value)
        if self._weight >= self._limit:
            self._newer, self._older, self._weight = {}, self._newer, 0
