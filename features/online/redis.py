"""Reads and writes Feast's Redis store directly. Each entity is a hash; its key is the entity key and the project.

The name of a hash field is the 32-bit murmur3 hash, little endian, of `<view>:<feature>`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Any

from features.feast.online_config import PROJECT
from features.online.codec import Column, Wanted, key_head
from features.online.redis_connections import RedisConnections, unexpected

_VALUES = {bytes, type(None)}


class RedisStore:
    """The reader.

    Args:
        timeout_s: limit for one `get`, however slowly the server sends.
    """

    bounded = True

    def __init__(self, address: str, timeout_s: float) -> None:
        self._connections = RedisConnections(address, timeout_s)

    def get(self, wanted: Sequence[Wanted]) -> list[list[Column]]:
        commands = b"".join(map(_commands, wanted))
        if not commands:
            return [[[] for _ in range(len(one.features) + one.timed)] for one in wanted]
        count = sum(len(one.keys) for one in wanted)
        return self._connections.exchange(commands, count, lambda replies: _rows(wanted, replies))

    def close(self) -> None:
        self._connections.close()


def _rows(wanted: Sequence[Wanted], replies: list[Any]) -> list[list[Column]]:
    """The replies by view: values if it is one field, otherwise lists of as many values as fields.

    Raises:
        ValueError: a reply has another type or shape.
        redis.RedisError: Redis refused access.
    """
    found: list[list[Column]] = []
    start = 0
    for one in wanted:
        rows = replies[start : start + len(one.keys)]
        start += len(one.keys)
        fields = len(one.features) + one.timed
        if fields == 1:
            columns = [rows]
        elif set(map(type, rows)) <= {list} and set(map(len, rows)) <= {fields}:
            columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(fields)]
        else:
            raise unexpected(rows)
        if not set(map(type, chain.from_iterable(columns))) <= _VALUES:
            raise unexpected(chain.from_iterable(columns))
        found.append([*columns])
    return found


def _commands(wanted: Wanted) -> bytes:
    """`HMGET <entity> <field> …` for each entity, in Redis's protocol; with one field `HGET`: its reply is no list."""
    join_key, table = wanted.layout.join_key, wanted.layout.table
    names = [*field_names(table, wanted.features), *([time_field(table)] if wanted.timed else [])]
    tail = PROJECT.encode() + b"\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in names)
    raw = map(str.encode, wanted.keys)
    return b"".join([part for key in raw for part in (_command_head(join_key, len(names), len(key)), key, tail)])


@lru_cache(maxsize=4096)
def _command_head(join_key: str, fields: int, size: int) -> bytes:
    """What a command begins with, before a key of this size in bytes."""
    head = key_head(join_key, size)
    name = b"$4\r\nHGET" if fields == 1 else b"$5\r\nHMGET"
    return b"*%d\r\n%b\r\n$%d\r\n%b" % (2 + fields, name, len(head) + size + len(PROJECT), head)


def time_field(table: str) -> bytes:
    """The name of the hash field with the event time of a Feast view's values."""
    return b"_ts:" + table.encode()


@cache
def field_names(table: str, names: tuple[str, ...]) -> tuple[bytes, ...]:
    """The names of a Feast view's features as hash fields."""
    import mmh3

    return tuple(struct.pack("<I", mmh3.hash(f"{table}:{name}", signed=False)) for name in names)
