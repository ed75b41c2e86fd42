"""Reads and writes Feast's Redis store directly. Each entity is a hash; its key is the entity key and the project.

The name of a hash field is the 32-bit murmur3 hash, little endian, of `<view>:<feature>`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import chain, islice
from typing import Any, NamedTuple

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
        asked = _asked(wanted)
        commands = b"".join(map(_commands, asked))
        if not commands:
            return [[[] for _ in _fields(one)] for one in wanted]
        count = sum(len(one.keys) for one in asked)
        return self._connections.exchange(commands, count, lambda replies: _by_view(wanted, asked, replies))

    def close(self) -> None:
        self._connections.close()


class _Asked(NamedTuple):
    """Fields of entities' hashes to read at once: of several views, if they are about the same entities.

    Args:
        views: which of the wanted views, in the order of their fields.
    """

    join_key: str
    keys: Sequence[str]
    fields: list[bytes]
    views: list[int]


def _asked(wanted: Sequence[Wanted]) -> list[_Asked]:
    """What to ask for, so that each entity takes one command: it takes Redis longer than a field does."""
    found: list[_Asked] = []
    for i, one in enumerate(wanted):
        join_key = one.layout.join_key
        same = next((other for other in found if other.join_key == join_key and other.keys == one.keys), None)
        if same is None:
            same = _Asked(join_key, one.keys, [], [])
            found.append(same)
        same.fields.extend(_fields(one))
        same.views.append(i)
    return found


def _fields(wanted: Wanted) -> Sequence[bytes]:
    """The names of the hash fields of a view."""
    table = wanted.layout.table
    names = field_names(table, wanted.features)
    return (*names, time_field(table)) if wanted.timed else names


def _by_view(wanted: Sequence[Wanted], asked: Sequence[_Asked], replies: list[Any]) -> list[list[Column]]:
    """The columns of each view.

    Raises:
        ValueError: a reply has another type or shape.
        redis.RedisError: Redis refused access.
    """
    found: dict[int, list[Column]] = {}
    start = 0
    for one in asked:
        columns = iter(_columns(replies[start : start + len(one.keys)], len(one.fields)))
        start += len(one.keys)
        for view in one.views:
            found[view] = list(islice(columns, len(_fields(wanted[view]))))
    return [found[i] for i in range(len(wanted))]


def _columns(rows: list[Any], fields: int) -> list[Column]:
    """The replies by field: values if it is one field, otherwise lists of as many values as fields."""
    if fields == 1:
        columns = [rows]
    elif set(map(type, rows)) <= {list} and set(map(len, rows)) <= {fields}:
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(fields)]
    else:
        raise unexpected(rows)
    if not set(map(type, chain.from_iterable(columns))) <= _VALUES:
        raise unexpected(chain.from_iterable(columns))
    return [*columns]


def _commands(asked: _Asked) -> bytes:
    """`HMGET <entity> <field> …` for each entity, in Redis's protocol; with one field `HGET`: its reply is no list."""
    join_key, fields = asked.join_key, len(asked.fields)
    tail = PROJECT.encode() + b"\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in asked.fields)
    raw = map(str.encode, asked.keys)
    return b"".join([part for key in raw for part in (_command_head(join_key, fields, len(key)), key, tail)])


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
