"""The newest row of each entity of a view, as a fold works with it and as the state store keeps it."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from itertools import islice

from features.fold.counting import EntityRow
from features.layout import Layout
from features.rows import unpack_linked
from features.state.loaded import Loaded
from features.state.store import StateStore

# How many rows of a view a generation keeps: 25 MB of accounts, the widest.
_KEPT = 10_000
# How many rows are decoded at once: the processor's cache holds so many.
_AT_ONCE = 250


def entity_rows(store: StateStore, layout: Layout) -> Loaded[EntityRow]:
    """The rows of a view's entities."""
    size = 4 * layout.width

    def decode(stored: Mapping[str, bytes]) -> dict[str, EntityRow]:
        found: dict[str, EntityRow] = {}
        left = iter(stored.items())
        while some := dict(islice(left, _AT_ONCE)):
            cells, links = unpack_linked(layout, list(some.values()))
            raw = cells.tobytes()
            for key, start, linked in zip(some, range(0, len(raw), size), links, strict=True):
                found[key] = EntityRow(array("f", raw[start : start + size]), linked)
        return found

    return Loaded(store, layout.view, decode, limit=_KEPT)
