"""Stored rows: an entity's links, which cells of its row are not zero, and their values. Most cells are zero.

| bytes | content |
|---|---|
| 1 | `layout_id`: number of the generation of features whose layout the row has, modulo 256 |
| 2 | size of the links, little endian |
| as given | the links: a MessagePack array of strings and nil, in the order of `layout.links`; nothing if it has none |
| width / 8, rounded up | one bit per cell, most significant first: is it stored? |
| 4 per stored cell | float32, little endian, in the order of the cells |

Online store, segments and state all keep this form. A cell counts as zero if all of its bits are, so `unpack` gives
back exactly what was packed, -0.0 and NaN included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from features.layout import Layout, Matrix
from leads.errors import ConfigurationError

# The values of a layout's links; None where the entity has none.
LinkValues = tuple[str | None, ...]

_HEAD = 3
# No count is larger: a float32 that is counted up by one stops there, and no time has a larger part. No sum of values,
# each limited to `layout.LARGEST`, gets near the other limit.
_LARGEST_COUNT, _LARGEST = np.array(2.0**24, np.float32), np.array(1e38, np.float32)
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
    # Most cells are zero: with places instead of the mask, this takes a fifth of the time.
    values = cells.ravel().take(np.flatnonzero(mask)).astype("<f4", copy=False).tobytes()
    sizes = 4 * np.count_nonzero(mask, axis=1)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    heads = _heads(layout, links)
    return [
        head + bitmaps[i * size : (i + 1) * size] + values[start:end]
        for i, (head, start, end) in enumerate(zip(heads, starts.tolist(), ends.tolist(), strict=True))
    ]


def _heads(layout: Layout, links: Sequence[LinkValues]) -> list[bytes]:
    number = _id(layout)
    if not layout.links:
        return [number + b"\0\0"] * len(links)
    encoded = map(_encode, links)
    return [number + len(one).to_bytes(2, "little") + one for one in encoded]


def _id(layout: Layout) -> bytes:
    return bytes([layout.number % 256])


def _nothing(size: int) -> bytes:
    return b""


# The parts of a stored row: its links, which cells it has, and their values. Plain tuples, because many are made.
Parts = tuple[bytes, bytes, bytes]


def split(
    layout: Layout, values: Iterable[bytes | None], before: Callable[[int], bytes] = _nothing
) -> list[Parts | None]:
    """The parts of stored rows; None for what isn't a row of the layout, packed by this version.

    Args:
        before: what a value that holds a row begins with, by the size of the value. The row is what follows.
    """
    size, from_bytes, number = _bitmap_size(layout), int.from_bytes, _id(layout)
    found: list[Parts | None] = []
    add = found.append
    for raw in values:
        n = len(raw) if raw else 0
        expected, start = _until_id(before, n, number)
        if not raw or not raw.startswith(expected):
            add(None)
            continue
        # Slices end where the bytes end, so that nothing here fails on a row that is cut.
        links = start + _HEAD - 1
        bitmap = links + from_bytes(raw[start:links], "little")
        cells = bitmap + size
        bits = raw[bitmap:cells]
        whole = n == cells + 4 * from_bytes(bits, "little").bit_count()
        add((raw[links:bitmap], bits, raw[cells:]) if whole else None)
    return found


@lru_cache(maxsize=1 << 14)
def _until_id(before: Callable[[int], bytes], size: int, number: bytes) -> tuple[bytes, int]:
    """What a value of this size begins with, up to the row's `layout_id`, and how many bytes that is."""
    expected = before(size) + number
    return expected, len(expected)


@cache
def missing_parts(layout: Layout) -> Parts:
    """The parts of a row of NaN, which stands for one that isn't stored."""
    (packed,) = pack(layout, np.full((1, layout.width), np.nan, np.float32), [(None,) * len(layout.links)])
    (parts,) = split(layout, [packed])
    assert parts is not None
    return parts


def is_row(layout: Layout, packed: bytes) -> bool:
    """Whether this is a row of the layout, packed by this version."""
    return split(layout, [packed])[0] is not None


def unpack(layout: Layout, packed: Sequence[bytes]) -> Matrix:
    """(n, width) float32 from rows that `pack` made.

    Raises:
        ConfigurationError: a row was packed with other layouts, or is damaged.
    """
    return join([(layout, _readable(layout, packed))])[0]


def unpack_linked(layout: Layout, packed: Sequence[bytes]) -> tuple[Matrix, list[LinkValues]]:
    """The cells as `unpack` gives them, and the links of each row; raises as `unpack`."""
    parts = _readable(layout, packed)
    return join([(layout, parts)])[0], [_decode_links(layout, links) for links, _, _ in parts]


def _readable(layout: Layout, packed: Sequence[bytes]) -> list[Parts]:
    parts = [part for part in split(layout, packed) if part is not None]
    if len(parts) < len(packed):
        raise _unreadable(layout)
    return parts


class ImpossibleCells(ValueError):
    """A row has a cell that no fold has counted, so the row is damaged. See `is_possible`."""


def is_possible(layout: Layout, parts: Parts) -> bool:
    """Whether a fold can have counted a row's cells."""
    return _are_possible(np.frombuffer(parts[2], "<f4"), counts=not layout.holds_any_number)


def _are_possible(values: npt.NDArray[np.float32], *, counts: bool) -> bool:
    # NaN, as in the row for one that isn't stored, compares as false.
    return not np.logical_or.reduce(np.greater(np.abs(values), _LARGEST_COUNT if counts else _LARGEST))


def join(views: Sequence[tuple[Layout, Sequence[Parts]]], *, checked: bool = False) -> list[Matrix]:
    """The (n, width) float32 cells of several views' rows, all decoded in the same steps.

    Raises:
        ImpossibleCells: `checked`, and some row isn't possible.
    """
    bitmaps = b"".join([bitmap for _, parts in views for _, bitmap, _ in parts])
    values = np.frombuffer(b"".join([values for _, parts in views for _, _, values in parts]), "<f4")
    if checked and not _are_possible(values, counts=not any(layout.holds_any_number for layout, _ in views)):
        raise ImpossibleCells
    mask = np.unpackbits(np.frombuffer(bitmaps, np.uint8)).view(np.bool_)
    cells = np.zeros(len(mask), np.float32)
    cells[np.flatnonzero(mask)] = values
    found, start = [], 0
    for layout, parts in views:
        width = 8 * _bitmap_size(layout)
        end = start + len(parts) * width
        found.append(cells[start:end].reshape(len(parts), width)[:, : layout.width])
        start = end
    return found


def links_in(layout: Layout, packed: bytes) -> LinkValues:
    """The links stored in a row.

    Raises:
        ConfigurationError: the row is damaged.
    """
    return _decode_links(layout, packed[_HEAD : _HEAD + int.from_bytes(packed[1:_HEAD], "little")])


def links_of_rows(layout: Layout, rows: Sequence[Parts | None]) -> list[LinkValues]:
    """The links of each row; nothing for None, and for links that are damaged."""
    try:
        found = [() if row is None else _decode(row[0]) for row in rows]
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = [_links_or_nothing(layout, row) for row in rows]
    n = len(layout.links)
    return [links if len(links) == n else () for links in found]


def _links_or_nothing(layout: Layout, row: Parts | None) -> LinkValues:
    try:
        return () if row is None else _decode_links(layout, row[0])
    except ConfigurationError:
        return ()


def _decode_links(layout: Layout, raw: bytes) -> LinkValues:
    """The links in this part of a row.

    Raises:
        ConfigurationError: the row is damaged.
    """
    if not layout.links:
        return ()
    try:
        links = _decode(raw)
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
