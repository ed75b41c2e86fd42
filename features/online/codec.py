"""Encodes and decodes Feast's stored keys and values. Feast's own helpers are private and slow to import and run.

The key format is specified in Feast's `docs/specs/online_store_format.md`, the value format in its
`protos/feast/types/Value.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from features.layout import Layout, packed_name
from features.rows import Parts, split

# The serialised values of one entity's features; None or empty where nothing is stored.
Values = Sequence[bytes | None]

_ONE, _STRING = struct.pack("<I", 1), struct.pack("<I", 2)
_BYTES_VAL = 0x0A
# Behind the end of any value.
_NOWHERE = 1 << 32


class Wanted(NamedTuple):
    """Entities of one view to read, and which of their features."""

    layout: Layout
    keys: Sequence[str]
    features: tuple[str, ...]


def row_of(layout: Layout, keys: Sequence[str]) -> Wanted:
    """Read these entities' rows."""
    return Wanted(layout, keys, (packed_name(layout.view),))


def entity_key(join_key: str, value: str) -> bytes:
    """Feast's serialised entity key (version 3) for a single string join key."""
    return entity_keys(join_key)(value)


def entity_keys(join_key: str) -> Callable[[str], bytes]:
    """`entity_key` with the join key fixed, for encoding many values."""
    name = join_key.encode()
    prefix = b"".join((_ONE, _STRING, struct.pack("<I", len(name)), name, _STRING))
    length = struct.Struct("<I").pack

    def encode(value: str) -> bytes:
        raw = value.encode()
        return prefix + length(len(raw)) + raw

    return encode


def bytes_value(packed: bytes) -> bytes:
    """A serialised `Value` holding bytes."""
    return bytes((_BYTES_VAL,)) + varint(len(packed)) + packed


def rows_in(layout: Layout, values: Sequence[bytes | None]) -> list[Parts | None]:
    """The stored rows in serialised `Value`s; None for those that are empty or malformed, or hold anything else."""
    return split(layout, _starts(values))


def row_in(layout: Layout, raw: bytes | None) -> bytes | None:
    """The stored row in a serialised `Value`; None if it is empty or malformed, or holds anything else."""
    ((bytes_, start),) = _starts([raw])
    return bytes_[start:] if split(layout, [(bytes_, start)]) != [None] else None


def _starts(values: Iterable[bytes | None]) -> Iterator[tuple[bytes, int]]:
    """Each serialised `Value`, and where the bytes that it holds begin; `_NOWHERE` if it isn't a whole one of bytes."""
    for raw in values:
        if not raw or raw[0] != _BYTES_VAL:
            yield b"", _NOWHERE
            continue
        # Most rows need two bytes for their size.
        if len(raw) > 3 and raw[1] > 0x7F >= raw[2]:
            size, start = raw[1] - 0x80 + (raw[2] << 7), 3
        else:
            size, start = read_varint(raw, 1)
        yield raw, start if len(raw) - start == size else _NOWHERE


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
