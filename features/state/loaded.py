"""One view of the state as a fold works with it: what it needs is loaded in bulk, and kept for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from features.state.store import StateStore

V = TypeVar("V")

Decode = Callable[[Mapping[str, bytes]], Mapping[str, V]]


class Loaded(Generic[V]):
    """`values` by key. Call `load` before looking up keys: a key that is then absent is not stored.

    It keeps at most twice `limit` values, the ones used last: when `values` is full after a batch, it becomes the older
    generation, of which only what is used again survives the next. What has changed since the last commit is kept in
    its stored form.

    Args:
        view: the name of the view in the store.
        decode: converts values from their stored form, many at once.
        limit: number of values in a generation.
    """

    def __init__(self, store: StateStore, view: str, decode: Decode[V], *, limit: int) -> None:
        self.view = view
        self.values: dict[str, V] = {}
        self.changed: dict[str, bytes] = {}
        self._older: dict[str, V] = {}
        self._store = store
        self._decode = decode
        self._limit = limit

    def load(self, keys: Iterable[str]) -> None:
        """Make sure that `values` has every stored value among these."""
        values, older, changed = self.values, self._older, self.changed
        missing: list[str] = []
        stored: dict[str, bytes] = {}
        for key in set(keys):
            if key in values:
                continue
            if (value := older.get(key)) is not None:
                values[key] = value
            elif (raw := changed.get(key)) is not None:
                stored[key] = raw
            else:
                missing.append(key)
        if missing:
            stored |= self._store.get(self.view, missing)
        if stored:
            values.update(self._decode(stored))

    def end_batch(self, changed: Mapping[str, bytes]) -> None:
        """Note the stored form of what a batch of events has changed, and forget old values if there are many."""
        self.changed.update(changed)
        if len(self.values) >= self._limit:
            self.values, self._older = {}, self.values

    def committed(self) -> None:
        """The store has everything in `changed`."""
        self.changed = {}
