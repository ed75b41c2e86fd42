"""Writes rows to Feast's Redis store directly: several times as fast as through Feast, with the same result.

An entity's hash also has the field `_ts:<view>`: when its row became visible, as a protobuf `Timestamp`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from features.feast.online_config import PROJECT
from features.layout import Layout
from features.online.codec import bytes_value, entity_keys, read_varint, varint
from features.online.redis import field_names
from features.online.redis_connections import RedisConnections
from leads import clock
from leads.clock import Micros
from leads.errors import Unavailable

_TIMEOUT_S = 30.0
_SECONDS, _NANOS = b"\x08", b"\x10"


class RedisWriter:
    """The only writer of its keys: what is stored doesn't change between the comparison of times and the write."""

    def __init__(self, address: str) -> None:
        self._connections = RedisConnections(address, _TIMEOUT_S)

    def write(self, layout: Layout, rows: Sequence[tuple[str, bytes, Micros]], *, without_links: bool = False) -> None:
        """Write each entity's newest row, unless the stored one is newer.

        Args:
            rows: entity key, stored row, when its newest event became visible.
            without_links: also remove the links of a row that an earlier release wrote.

        Raises:
            Unavailable: the server did not respond, or refused a write.
        """
        newest: dict[str, tuple[bytes, Micros]] = {}
        for key, packed, at in rows:
            if key not in newest or newest[key][1] <= at:
                newest[key] = (packed, at)
        project = PROJECT.encode()
        hashes = [key + project for key in entity_keys(layout.join_key, newest)]
        time_field = b"_ts:" + layout.table.encode()
        stored = self._exchange(_command(b"HGET", one, time_field) for one in hashes)
        (row_field,) = field_names(layout.table, (layout.packed_name,))
        commands = []
        for one, (packed, at), before in zip(hashes, newest.values(), stored, strict=True):
            if before is None or _micros(before) <= at:
                commands.append(_command(b"HSET", one, time_field, _timestamp(at), row_field, bytes_value(packed)))
                if without_links and layout.links:
                    commands.append(_command(b"HDEL", one, *field_names(layout.table, layout.links)))
        self._exchange(commands)

    def _exchange(self, commands: Iterable[bytes]) -> list[Any]:
        sent = list(commands)
        return self._connections.exchange(b"".join(sent), len(sent), _checked) if sent else []

    def close(self) -> None:
        self._connections.close()


def _checked(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise Unavailable(
                f"Redis refused to store feature rows: {reply}.",
                field="LEADS_REDIS_URL",
                remedy="Check the server's memory, its eviction policy and the user's permissions.",
            )
    return replies


def _command(*parts: bytes) -> bytes:
    """A command in Redis's protocol."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def _timestamp(at: Micros) -> bytes:
    """A serialised `Timestamp`."""
    seconds, micros = divmod(at, clock.SECOND)
    return _SECONDS + varint(seconds) + (_NANOS + varint(1_000 * micros) if micros else b"")


def _micros(raw: bytes) -> Micros:
    """The time in a serialised `Timestamp`; 0 if it is malformed."""
    seconds, end = read_varint(raw, 1) if raw[:1] == _SECONDS else (0, 0)
    nanos, _ = read_varint(raw, end + 1) if raw[end : end + 1] == _NANOS else (0, 0)
    return seconds * clock.SECOND + nanos // 1_000
