"""Feast's entity keys, as bytes. Its own helpers for them are private and slow to import."""

from __future__ import annotations

import struct

_ONE, _STRING = struct.pack("<I", 1), struct.pack("<I", 2)


def entity_key(join_key: str, value: str) -> bytes:
    """Feast's serialised entity key, version 3, of one string join key (docs/specs/online_store_format.md there)."""
    name, key = join_key.encode(), value.encode()
    return b"".join((_ONE, _STRING, _length(name), name, _STRING, _length(key), key))


def _length(raw: bytes) -> bytes:
    return struct.pack("<I", len(raw))
