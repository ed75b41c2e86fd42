"""Reads and writes Feast's Redis store directly. Each entity is a hash; its key is the entity key and the project.

The name of a hash field is the 32-bit murmur3 hash, little endian, of `<view>:<feature>`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from features.feast.online_config import PROJECT
from features.layout import JOIN_KEYS
from features.online.codec import Values, Wanted, entity_keys
from features.online.redis_connections import RedisConnections


class RedisStore:
    """The reader.

    Args:
        timeout_s: limit for one `get`, however slowly the server sends.
    """

    bounded = True

    def __init__(self, address: str, timeout_s: float) -> None:
        self._connections = RedisConnections(address, timeout_s)

    def get(self, wanted: Sequence[Wanted]) -> list[list[Values]]:
        commands = b"".join(map(_commands, wanted))
        return self._connections.exchange(
            commands, lambda reply: [_rows(reply, len(one.keys), len(one.features)) for one in wanted]
        )

    def close(self) -> None:
        self._connections.close()


def _rows(next_reply: Callable[[], Any], count: int, width: int) -> list[Values]:
    """Read `count` replies, each of which must be a list of `width` values.

    Raises:
        ValueError: a reply has another shape, so the replies after it can't be trusted either.
    """
    rows = [next_reply() for _ in range(count)]
    for row in rows:
        if type(row) is not list or len(row) != width:
            raise ValueError("the reply to HMGET has an unexpected shape")
        for value in row:
            if value is not None and type(value) is not bytes:
                raise ValueError("the reply to HMGET has an unexpected shape")
    return rows


def _commands(wanted: Wanted) -> bytes:
    """`HMGET <entity> <field> …` for each entity, in Redis's protocol."""
    view = wanted.layout.view
    encode, project, names = entity_keys(JOIN_KEYS[view]), PROJECT.encode(), field_names(view, wanted.features)
    head = b"*%d\r\n$5\r\nHMGET\r\n" % (2 + len(names))
    tail = project + b"\r\n" + b"".join(b"$4\r\n" + name + b"\r\n" for name in names)
    extra = len(project)
    return b"".join(b"%b$%d\r\n%b%b" % (head, len(key) + extra, key, tail) for key in map(encode, wanted.keys))


@cache
def field_names(view: str, names: tuple[str, ...]) -> tuple[bytes, ...]:
    """The names of a view's features as hash fields."""
    import mmh3

    return tuple(struct.pack("<I", mmh3.hash(f"{view}:{name}", signed=False)) for name in names)
