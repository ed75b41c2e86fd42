"""One view of the state as a fold works with it: what it needs is loaded in bulk, and kept for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from features.state.store import StateStore

V = TypeVar("V")

Decode = Callable[[Mapping[str, bytes]], Mapping[str, V]]
Encode = Callable[[Sequence[V]], Iterable[bytes]]


class Loaded(Generic[V]):
    """`values` by key. Call `load` before looking up keys: a key that is then absent is not stored.

    Besides what has changed since the last commit, it keeps at most twice `limit` values, the ones used last: when
    `values` is full at a commit, it becomes the older generation, of which only what is used again survives the next.

    Args:
        view: the name of the view in the store.
        decode, encode: convert values from and to their stored form, many at once.
        limit: number of values in a generation.
    """

    def __init__(self, store: StateStore, view: str, decode: Decode[V], encode: Encode[V], *, limit: int) -> None:
        self.view = view
        self.values: dict[str, V] = {}
        self.changed: dict[str, V] = {}
        self._older: dict[str, V] = {}
        self._store = store
        self._decode = decode
        self._encode = encode
        self._limit = limit

    def load(self, keys: Iterable[str]) -> None:
        """Make sure that `values` has every stored value among these."""
        values, older = self.values, self._older
        missing = []
        for key in set(keys):
            if key not in values:
                value = older.get(key)
                if value is None:
                    missing.append(key)
                else:
                    values[key] = value
        if missing:
            values.update(self._decode(self._store.get(self.view, missing)))

    def put(self, key: str, value: V) -> None:
        """Store a new or changed value with the next commit."""
        self.values[key] = self.changed[key] = value

    def to_commit(self) -> Iterable[tuple[str, bytes]]:
        """The changed values in their stored form."""
        return zip(self.changed, self._encode(list(self.changed.values())), strict=True)

    def committed(self) -> None:
        """Forget what changed, and old values if there are many."""
        self.changed = {}
        if len(self.values) >= self._limit:
            self.values, self._older = {}, self.values
