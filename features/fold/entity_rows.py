"""The newest row of each entity of a view, as a fold works with it and as the state store keeps it."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from features.fold.counting import EntityRow
from features.layout import Layout
from features.rows import links_in, unpack
from features.state.loaded import Loaded
from features.state.store import StateStore

# How many rows of a view a generation keeps: 25 MB of accounts, the widest.
_KEPT = 10_000


def entity_rows(store: StateStore, layout: Layout) -> Loaded[EntityRow]:
    """The rows of a view's entities."""

    def decode(stored: Mapping[str, bytes]) -> dict[str, EntityRow]:
        packed = list(stored.values())
        cells = unpack(layout, packed)
        return {
            key: EntityRow(array("f", row.tobytes()), links_in(layout, raw))
            for key, raw, row in zip(stored, packed, cells, strict=True)
        }

    return Loaded(store, layout.view, decode, limit=_KEPT)
