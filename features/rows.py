"""Stored rows: which cells of a packed row are not zero, and their values. Most cells of most rows are zero.

| bytes | content |
|---|---|
| 1 | number of the layouts that the row was packed with |
| width / 8, rounded up | one bit per cell, most significant first: is it stored? |
| 4 per stored cell | float32, little endian, in the order of the cells |

All bits of a cell count, so `unpack` gives back exactly what was packed, -0.0 and NaN included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.layout import Layout, Matrix
from leads.errors import ConfigurationError

# Increase this with any change to `features.layout.LAYOUTS`.
LAYOUTS_ID = 1
_ID = bytes([LAYOUTS_ID])


def pack(layout: Layout, cells: Matrix) -> list[bytes]:
    """Each of the (n, width) float32 rows as bytes."""
    mask: npt.NDArray[np.bool_] = cells.view(np.uint32) != 0
    size = (layout.width + 7) // 8
    bitmaps = np.packbits(mask, axis=1).tobytes()
    values = cells[mask].astype("<f4", copy=False).tobytes()
    ends = (4 * np.cumsum(np.count_nonzero(mask, axis=1))).tolist()
    starts = [0, *ends[:-1]]
    return [
        _ID + bitmaps[i * size : (i + 1) * size] + values[start:end]
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def unpack(layout: Layout, packed: Sequence[bytes]) -> Matrix:
    """(n, width) float32 from rows that `pack` made.

    Raises:
        ConfigurationError: a row was packed with other layouts, or is damaged.
    """
    head = 1 + (layout.width + 7) // 8
    if any(row[:1] != _ID for row in packed):
        raise _unreadable(layout)
    bitmaps = np.frombuffer(b"".join([row[1:head] for row in packed]), np.uint8)
    values = np.frombuffer(b"".join([row[head:] for row in packed]), "<f4")
    try:
        mask = np.unpackbits(bitmaps.reshape(len(packed), head - 1), axis=1, count=layout.width).view(np.bool_)
        cells = np.zeros((len(packed), layout.width), np.float32)
        cells[mask] = values
    except ValueError as error:
        raise _unreadable(layout) from error
    return cells


def _unreadable(layout: Layout) -> ConfigurationError:
    return ConfigurationError(
        f"A stored {layout.view} row was written by another version of the features, or is damaged.",
        field="LEADS_HOME",
        remedy="Derive the rows again from the event log: leads worker --rebuild --once",
    )
