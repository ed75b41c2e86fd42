"""Reads and writes Feast's Redis store directly. Each entity is a hash; its key is the entity key and the project.

The name of a hash field is the 32-bit murmur3 hash, little endian, of `<view>:<feature>`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import chain
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
            return [[[] for _ in range(len(one.features) + one.timed)] for one in wanted]
        count = sum(len(one.keys) for one in asked)
        return self._connections.exchange(commands, count, lambda replies: _by_view(len(wanted), asked, replies))

    def close(self) -> None:
        self._connections.close()


class _Asked(NamedTuple):
    """Fields of entities' hashes to read at once: of several views, if they are about the same entities.

    Args:
        views: which of the wanted views, each with its number of fields.
    """

    join_key: str
    keys: Sequence[str]
    fields: tuple[bytes, ...]
    views: tuple[tuple[int, int], ...]


def _asked(wanted: Sequence[Wanted]) -> list[_Asked]:
    """What to ask for. Values of own views are asked for with the rows of the same entities: a command costs Redis
    more than a field."""
    found: list[_Asked] = []
    for i, one in enumerate(wanted):
        fields = _fields(one.layout.table, one.features, one.timed)
        new = _Asked(one.layout.join_key, one.keys, fields, ((i, len(fields)),))
        for j, same in enumerate(found if one.timed else ()):
            if same.join_key == new.join_key and same.keys == new.keys:
                found[j] = same._replace(fields=same.fields + fields, views=same.views + new.views)
                break
        else:
            found.append(new)
    return found


@cache
def _fields(table: str, features: tuple[str, ...], timed: bool) -> tuple[bytes, ...]:
    """The names of the hash fields of a view."""
    names = field_names(table, features)
    return (*names, time_field(table)) if timed else names


def _by_view(count: int, asked: Sequence[_Asked], replies: list[Any]) -> list[list[Column]]:
    """The columns of each view.

    Raises:
        ValueError: a reply has another type or shape.
        redis.RedisError: Redis refused access.
    """
    found: list[list[Column]] = [[]] * count
    start = 0
    for one in asked:
        end = start + len(one.keys)
        columns = _columns(replies[start:end], len(one.fields))
        start, first = end, 0
        for view, fields in one.views:
            found[view] = columns[first : first + fields]
            first += fields
    return found


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
