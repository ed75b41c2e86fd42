"""Writes rows to Feast's Redis store directly: several times as fast as through Feast, with the same result.

An entity's hash also has the field `_ts:<view>`: when its row became visible, as a protobuf `Timestamp`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from features.feast.online_config import PROJECT
from features.feast.values import instant, timestamp
from features.layout import Layout
from features.online.codec import bytes_value, entity_keys
from features.online.redis import field_names, time_field
from features.online.redis_connections import RedisConnections
from leads.clock import Micros
from leads.errors import Unavailable

_TIMEOUT_S = 30.0


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
        values = [(key, [bytes_value(packed)], at) for key, packed, at in rows]
        self.write_values(layout, (layout.packed_name,), values, removed=layout.links if without_links else ())

    def write_values(
        self,
        layout: Layout,
        names: tuple[str, ...],
        rows: Sequence[tuple[str, Sequence[bytes], Micros]],
        *,
        removed: tuple[str, ...] = (),
    ) -> None:
        """Write each entity's newest values, unless the stored ones are newer.

        Args:
            names: of the features.
            rows: entity key, serialised `Value` of each feature, event time.
            removed: features of the entities to delete.

        Raises:
            Unavailable: the server did not respond, or refused a write.
        """
        newest: dict[str, tuple[Sequence[bytes], Micros]] = {}
        for key, values, at in rows:
            if key not in newest or newest[key][1] <= at:
                newest[key] = (values, at)
        project = PROJECT.encode()
        hashes = [key + project for key in entity_keys(layout.join_key, newest)]
        at_field, fields = time_field(layout.table), field_names(layout.table, names)
        stored = self._exchange(_command(b"HGET", one, at_field) for one in hashes)
        commands = []
        for one, (values, at), before in zip(hashes, newest.values(), stored, strict=True):
            if before is None or instant(before) <= at:
                pairs = chain.from_iterable(zip(fields, values, strict=True))
                commands.append(_command(b"HSET", one, at_field, timestamp(at), *pairs))
                if removed:
                    commands.append(_command(b"HDEL", one, *field_names(layout.table, removed)))
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
