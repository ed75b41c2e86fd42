"""Encodes and decodes Feast's stored keys and values. Feast's own helpers are private and slow to import and run.

The key format is specified in Feast's `docs/specs/online_store_format.md`, the value format in its
`protos/feast/types/Value.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from features.layout import Layout
from features.rows import Parts, split
from leads import clock
from leads.clock import Micros

# One feature's serialised values, one for each entity; None or empty where nothing is stored.
Column = Sequence[bytes | None]

_ONE, _STRING = struct.pack("<I", 1), struct.pack("<I", 2)
_BYTES_VAL = 0x0A
_SECONDS, _NANOS = b"\x08", b"\x10"


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


def timestamp(at: Micros) -> bytes:
    """A serialised `Timestamp`."""
    seconds, micros = divmod(at, clock.SECOND)
    return _SECONDS + varint(seconds) + (_NANOS + varint(1_000 * micros) if micros else b"")


# Values that were written together often have the same time.
@lru_cache(maxsize=4096)
def instant(raw: bytes | None) -> Micros:
    """The time in a serialised `Timestamp`; 0 if there is none, or if it is malformed."""
    seconds, end = read_varint(raw, 1) if raw and raw[:1] == _SECONDS else (0, 0)
    if raw is None or seconds < 0:
        return 0
    nanos, _ = read_varint(raw, end + 1) if raw[end : end + 1] == _NANOS else (0, 0)
    return seconds * clock.SECOND + nanos // 1_000


def read_varint(raw: bytes, start: int) -> tuple[int, int]:
    """A protobuf varint that starts here, and where it ends; (-1, start) if it doesn't end."""
    number = shift = 0
    # A protobuf varint is at most ten bytes long.
    for at in range(start, min(len(raw), start + 10)):
        number |= (raw[at] & 0x7F) << shift
        shift += 7
        if not raw[at] & 0x80:
            return number, at + 1
    return -1, start


def varint(number: int) -> bytes:
    """Protobuf's variable-length integer.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
