"""A row in the online store that says up to which event a partition's rows were written to it.

The mark (`features.online.mark`) says so too, but in the home. It doesn't notice if the online store loses its data, or
gets an older copy of it back.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from features.declared.feature_set import FeatureSet
from features.online.codec import row_in, row_of
from features.online.stores import open_online_store
from features.online.writer import OnlineWriter
from features.partition import Partition
from features.rows import links_in, pack
from leads.clock import Micros
from leads.settings import Settings


def presence_key(partition: Partition) -> str:
    """The key of a partition's row, in the view of items. Unlike an item's key, it contains no colon."""
    return f"online-{partition.index}of{partition.count}"


class Presence:
    """Reads and writes one partition's row."""

    def __init__(self, settings: Settings, partition: Partition, writer: OnlineWriter, features: FeatureSet) -> None:
        self._layout = features.layout_of["item"]
        self._key = presence_key(partition)
        self._writer = writer
        self._store = open_online_store(settings)

    def put(self, offset: int, at: Micros) -> int:
        """Record that rows up to an offset were written; returns what `reached` is now.

        Args:
            at: when the event became visible. Stores drop rows that are older than the stored one, and some compare
                whole seconds, so it may take a later row to replace this one.
        """
        layout = self._layout
        links = (str(offset), *[None] * (len(layout.links) - 1))
        (row,) = pack(layout, np.zeros((1, layout.width), np.float32), [links])
        self._writer.write_view(layout, [(self._key, row, at)])
        return self.reached()

    def reached(self) -> int:
        """The offset recorded last; 0 if the store holds none.

        Raises:
            Unavailable: the store doesn't respond.
        """
        (((raw,),),) = self._store.get([row_of(self._layout, [self._key])])
        row = row_in(self._layout, raw)
        with suppress(TypeError, ValueError):
            return 0 if row is None else int(links_in(self._layout, row)[0] or 0)
        return 0

    def close(self) -> None:
        self._store.close()
