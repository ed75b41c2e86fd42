"""Encodes and decodes Feast's stored keys and values. Feast's own helpers are private and slow to import and run.

The key format is specified in Feast's `docs/specs/online_store_format.md`, the value format in its
`protos/feast/types/Value.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from features.layout import Layout, packed_name

# The stored values of one entity in the order of `fields`; None or empty where nothing is stored.
Values = Sequence[bytes | None]

_ONE, _STRING = struct.pack("<I", 1), struct.pack("<I", 2)
_STRING_VAL, _FLOAT_LIST_VAL, _VAL = b"\x12", b"\x82\x01", b"\x0a"


def fields(layout: Layout) -> tuple[str, ...]:
    """The names of a view's stored features: the packed row, then the links."""
    return (packed_name(layout.view), *layout.links)


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


def float_list_value(packed: bytes) -> bytes:
    """A serialised `Value` holding a float list. `packed` is little-endian float32 and is copied as it is."""
    inner = _VAL + varint(len(packed)) + packed
    return _FLOAT_LIST_VAL + varint(len(inner)) + inner


def string_value_of(text: str | None) -> bytes:
    """A serialised `Value` holding a string; empty, which is Feast's null, for None."""
    if text is None:
        return b""
    raw = text.encode()
    return _STRING_VAL + varint(len(raw)) + raw


def string_value(raw: bytes | None) -> str | None:
    """The string in a serialised `Value`; None if it is empty, malformed or of another type."""
    if not raw or raw[:1] != _STRING_VAL:
        return None
    length = shift = 0
    # A protobuf varint is at most ten bytes long.
    for start in range(1, min(len(raw), 11)):
        length |= (raw[start] & 0x7F) << shift
        shift += 7
        if not raw[start] & 0x80:
            break
    else:
        return None
    if len(raw) != start + 1 + length:
        return None
    try:
        return raw[start + 1 :].decode()
    except UnicodeDecodeError:
        return None


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
