"""Encodes and decodes Feast's stored keys and values. Feast's own helpers are private and slow to import and run.

The key format is specified in Feast's `docs/specs/online_store_format.md`, the value format in its
`protos/feast/types/Value.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np

from features.feast.values import instant, numbers, varint
from features.layout import VISIBLE, Layout, Matrix
from features.rows import Parts, split
from features.views.layout import OwnView, head_cells

# One feature's serialised values, one for each entity; None or empty where nothing is stored.
Column = Sequence[bytes | None]

_ONE, _STRING = struct.pack("<I", 1), struct.pack("<I", 2)
_BYTES_VAL = 0x0A


class Wanted(NamedTuple):
    """Entities of one view to read, and which of their features.

    Args:
        timed: whether to read event times too, as serialised `Timestamp`s: a column after those of the features.
    """

    layout: Layout
    keys: Sequence[str]
    features: tuple[str, ...]
    timed: bool = False


def row_of(layout: Layout, keys: Sequence[str]) -> Wanted:
    """Read these entities' rows."""
    return Wanted(layout, keys, (layout.packed_name,))


def values_of(view: OwnView, keys: Sequence[str]) -> Wanted:
    """Read these entities' values, and when they hold from."""
    return Wanted(view, keys, view.columns, timed=True)


def rows_of_values(view: OwnView, columns: Sequence[Column]) -> Matrix:
    """(n + 1, width) the rows of n entities, of NaN where nothing is stored, and a last one of NaN.

    Args:
        columns: what a store has for `values_of`.
    """
    *values, times = columns
    n, first = len(times), view.first_value
    found = np.empty((n + 1, view.width), np.float32)
    found[:n, :first] = np.frombuffer(b"".join(map(_head, times)), np.float32).reshape(n, first)
    found[:n, first:] = view.limited(numbers([*chain.from_iterable(values)])).reshape(len(values), n).T
    found[n] = np.nan
    found[np.isnan(found[:, VISIBLE])] = np.nan
    return found


# Values that were written together often have the same time.
@lru_cache(maxsize=4096)
def _head(time: bytes | None) -> bytes:
    """The cells of an own view's row that come before the values, for a serialised `Timestamp`."""
    return head_cells(instant(time)).tobytes()


def entity_key(join_key: str, value: str) -> bytes:
    """Feast's serialised entity key (version 3) for a single string join key."""
    return entity_keys(join_key, (value,))[0]


def entity_keys(join_key: str, values: Iterable[str]) -> list[bytes]:
    """`entity_key` of each value."""
    return [key_head(join_key, len(raw)) + raw for raw in map(str.encode, values)]


@lru_cache(maxsize=4096)
def key_head(join_key: str, size: int) -> bytes:
    """What an entity key begins with, before a value of this size in bytes."""
    name = join_key.encode()
    return b"".join((_ONE, _STRING, struct.pack("<I", len(name)), name, _STRING, struct.pack("<I", size)))


def bytes_value(packed: bytes) -> bytes:
    """A serialised `Value` holding bytes."""
    return bytes((_BYTES_VAL,)) + varint(len(packed)) + packed


def rows_in(layout: Layout, values: Column) -> list[Parts | None]:
    """The stored rows in serialised `Value`s; None for those that are empty or malformed, or hold anything else."""
    return split(layout, values, _before)


def row_in(layout: Layout, raw: bytes | None) -> bytes | None:
    """The stored row in a serialised `Value`; None if it is empty or malformed, or holds anything else."""
    return raw[len(_before(len(raw))) :] if raw and rows_in(layout, [raw]) != [None] else None


def _before(size: int) -> bytes:
    """What comes before the bytes in a serialised `Value` of bytes that takes `size` bytes in all.

    >>> [bytes_value(bytes(n)) == _before(n + head) + bytes(n) for n, head in ((0, 2), (127, 2), (128, 3), (70_000, 4))]
    [True, True, True, True]
    """
    head = 2
    while head < size and 1 + len(varint(size - head)) != head:
        head += 1
    return bytes((_BYTES_VAL,)) + varint(max(size - head, 0))
