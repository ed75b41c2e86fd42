"""Rows as earlier releases stored them online: all cells as a float list, and each link as a feature of its own.

The worker writes them again in today's form. Until it has, readers understand both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from features.feast.values import read_varint, varint
from features.layout import Layout
from features.online.codec import Wanted, row_in
from features.rows import pack

_STRING_VAL, _FLOAT_LIST_VAL, _VAL = b"\x12", b"\x82\x01", b"\x0a"


def with_links(layout: Layout, keys: Sequence[str]) -> Wanted:
    """Read these entities' rows and links, from the same write."""
    return Wanted(layout, keys, (layout.packed_name, *layout.links))


def is_dense(layout: Layout, raw: bytes) -> bool:
    """Whether a serialised `Value` is a float list with one number for each cell of the layout."""
    head, size = _head(layout.width)
    return len(raw) == len(head) + size and raw.startswith(head)


def as_stored(layout: Layout, raw: bytes | None, links: Sequence[bytes | None]) -> bytes | None:
    """An entity's row in today's form; None if nothing or anything else is stored.

    Args:
        raw: the serialised `Value` of the row, which may have been written in either form.
        links: the serialised `Value` of each link.
    """
    if raw is None or not is_dense(layout, raw):
        return row_in(layout, raw)
    cells = np.frombuffer(raw, "<f4", offset=len(raw) - 4 * layout.width).reshape(1, layout.width)
    return pack(layout, cells, [tuple(map(string_value, links))])[0]


def float_list_value(packed: bytes) -> bytes:
    """A serialised `Value` holding a float list. `packed` is little-endian float32 and is copied as it is."""
    inner = _VAL + varint(len(packed)) + packed
    return _FLOAT_LIST_VAL + varint(len(inner)) + inner


def string_value(raw: bytes | None) -> str | None:
    """The string in a serialised `Value`; None if it is empty, malformed or of another type."""
    if not raw or raw[:1] != _STRING_VAL:
        return None
    size, start = read_varint(raw, 1)
    if len(raw) != start + size:
        return None
    try:
        return raw[start:].decode()
    except UnicodeDecodeError:
        return None


@cache
def _head(width: int) -> tuple[bytes, int]:
    """The encoded bytes before the floats, and the size of the floats in bytes."""
    size = 4 * width
    return float_list_value(bytes(size))[:-size], size
