"""Stored rows: an entity's links, which cells of its row are not zero, and their values. Most cells are zero.

| bytes | content |
|---|---|
| 1 | `layout_id`: number of the layouts that the row was packed with |
| 2 | size of the links, little endian |
| as given | the links: a MessagePack array of strings and nil, in the order of `layout.links`; nothing if it has none |
| width / 8, rounded up | one bit per cell, most significant first: is it stored? |
| 4 per stored cell | float32, little endian, in the order of the cells |

Online store, segments and state all keep this form. A cell counts as zero if all of its bits are, so `unpack` gives
back exactly what was packed, -0.0 and NaN included.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from features.layout import Layout, Matrix
from leads.errors import ConfigurationError

# Increase this with any change to `features.layout.LAYOUTS`.
LAYOUT_ID = 2
# The values of a layout's links; None where the entity has none.
LinkValues = tuple[str | None, ...]

_ID = bytes([LAYOUT_ID])
_HEAD = 3
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str | None, ...]).decode


def pack(layout: Layout, cells: Matrix, links: Sequence[LinkValues]) -> list[bytes]:
    """n rows in their stored form.

    Args:
        cells: (n, width) float32.
        links: their n links.
    """
    mask: npt.NDArray[np.bool_] = cells.view(np.uint32) != 0
    size = _bitmap_size(layout)
    bitmaps = np.packbits(mask, axis=1).tobytes()
    values = cells[mask].astype("<f4", copy=False).tobytes()
    sizes = 4 * np.count_nonzero(mask, axis=1)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    heads = _heads(layout, links)
    return [
        head + bitmaps[i * size : (i + 1) * size] + values[start:end]
        for i, (head, start, end) in enumerate(zip(heads, starts.tolist(), ends.tolist(), strict=True))
    ]


def _heads(layout: Layout, links: Sequence[LinkValues]) -> list[bytes]:
    if not layout.links:
        return [_ID + b"\0\0"] * len(links)
    encoded = map(_encode, links)
    return [_ID + len(one).to_bytes(2, "little") + one for one in encoded]


def is_row(layout: Layout, packed: bytes) -> bool:
    """Whether this is a row of the layout, packed by this version."""
    start = _HEAD + int.from_bytes(packed[1:_HEAD], "little")
    end = start + _bitmap_size(layout)
    stored = int.from_bytes(packed[start:end], "little").bit_count()
    return packed[:1] == _ID and len(packed) == end + 4 * stored


def unpack(layout: Layout, packed: Sequence[bytes]) -> Matrix:
    """(n, width) float32 from rows that `pack` made.

    Raises:
        ConfigurationError: a row was packed with other layouts, or is damaged.
    """
    if not all(is_row(layout, row) for row in packed):
        raise _unreadable(layout)
    return unpack_all([(layout, packed)])[0]


def unpack_all(views: Sequence[tuple[Layout, Sequence[bytes]]]) -> list[Matrix]:
    """The (n, width) float32 cells of several views' rows, for all of which `is_row` holds. Decodes them in one go."""
    bitmaps: list[bytes] = []
    values: list[bytes] = []
    for layout, packed in views:
        size = _bitmap_size(layout)
        for row in packed:
            start = _HEAD + int.from_bytes(row[1:_HEAD], "little")
            bitmaps.append(row[start : start + size])
            values.append(row[start + size :])
    mask = np.unpackbits(np.frombuffer(b"".join(bitmaps), np.uint8)).view(np.bool_)
    cells = np.zeros(len(mask), np.float32)
    cells[mask] = np.frombuffer(b"".join(values), "<f4")
    found, start = [], 0
    for layout, packed in views:
        width = 8 * _bitmap_size(layout)
        end = start + len(packed) * width
        found.append(cells[start:end].reshape(len(packed), width)[:, : layout.width])
        start = end
    return found


def links_in(layout: Layout, packed: bytes) -> LinkValues:
    """The links stored in a row.

    Raises:
        ConfigurationError: the row is damaged.
    """
    if not layout.links:
        return ()
    try:
        links = _decode(packed[_HEAD : _HEAD + int.from_bytes(packed[1:_HEAD], "little")])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(layout) from error
    if len(links) != len(layout.links):
        raise _unreadable(layout)
    return links


def _bitmap_size(layout: Layout) -> int:
    return (layout.width + 7) // 8


def _unreadable(layout: Layout) -> ConfigurationError:
    return ConfigurationError(
        f"A stored {layout.view} row was written by another version of the features, or is damaged.",
        field="LEADS_HOME",
        remedy="Derive the rows again from the event log: leads worker --rebuild --once",
    )
