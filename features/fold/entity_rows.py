"""The newest row of each entity of a view, as the state store keeps it: its links, then its cells."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from features.fold.counting import EntityRow
from features.layout import Layout
from features.rows import pack, unpack
from features.state.loaded import Loaded
from features.state.store import StateStore

# The memory for the rows of one generation of a view, and what a row takes besides its cells.
_KEPT_BYTES = 24 * 1024 * 1024
_OVERHEAD_BYTES = 300

_links = msgspec.msgpack.Decoder(tuple[str | None, ...])
_encode = msgspec.msgpack.Encoder().encode


def entity_rows(store: StateStore, layout: Layout) -> Loaded[EntityRow]:
    """The rows of a view's entities."""

    def decode(stored: Mapping[str, bytes]) -> dict[str, EntityRow]:
        ends = [2 + int.from_bytes(raw[:2], "little") for raw in stored.values()]
        cells = unpack(layout, [raw[end:] for raw, end in zip(stored.values(), ends, strict=True)])
        return {
            key: EntityRow(array("f", row.tobytes()), _links.decode(raw[2:end]))
            for (key, raw), end, row in zip(stored.items(), ends, cells, strict=True)
        }

    def encode(rows: Sequence[EntityRow]) -> list[bytes]:
        joined = b"".join([row.cells.tobytes() for row in rows])
        cells = np.frombuffer(joined, np.float32).reshape(len(rows), layout.width)
        links = [_encode(row.links) for row in rows]
        return [len(one).to_bytes(2, "little") + one + raw for one, raw in zip(links, pack(layout, cells), strict=True)]

    limit = _KEPT_BYTES // (4 * layout.width + _OVERHEAD_BYTES)
    return Loaded(store, layout.view, decode, encode, limit=limit)
