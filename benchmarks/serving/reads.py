"""How many bytes of feature rows the service reads to score a comment."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.report import Measure, at_most
from benchmarks.serving.world import ServedWorld
from features.online.codec import Column, Wanted
from features.online.reader import OnlineReader
from features.online.stores import Store, open_online_store
from leads.events import Subject

_COMMENTS = 1_000
_BAR = 1_700.0


def bytes_read(world: ServedWorld) -> list[Measure]:
    """The mean over the world's comments, each read by a reader that has read none before."""
    store = _Counting(open_online_store(world.redis))
    each = []
    for id_ in world.ids[:_COMMENTS]:
        store.read = 0
        OnlineReader(store).fetch([Subject("comment", id_)])
        each.append(store.read)
    store.close()
    return [
        at_most("rows read to score a comment, mean", statistics.mean(each), "B", _BAR),
        Measure("rows read to score a comment, largest", float(max(each)), "B"),
    ]


class _Counting:
    """An online store that counts the bytes of the values that it returns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.read = 0

    @property
    def bounded(self) -> bool:
        return self._store.bounded

    def get(self, wanted: Sequence[Wanted]) -> list[list[Column]]:
        found = self._store.get(wanted)
        self.read += sum(len(value) for columns in found for values in columns for value in values if value is not None)
        return found

    def close(self) -> None:
        self._store.close()
