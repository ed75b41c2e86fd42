"""What the router knows of items and reporters, and how the state store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from features.links import Links
from features.state.loaded import Loaded
from features.state.store import StateStore
from leads.clock import Micros
from leads.content import content_hash
from leads.errors import ConfigurationError
from leads.rules import Made
from leads_client.fields import Verdict

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode


class Standing(NamedTuple):
    """The verdict that stands on an item under one harm, the decision it rests on, and who was credited with it.

    `at` is when the verdict was credited; decisions that repeat it later don't change that.
    """

    verdict: Verdict
    made: Made
    at: Micros
    links: Links
    reporters: tuple[str, ...]


class Waiting(NamedTuple):
    """An event of a declared kind that arrived before the item that it is about, and when it happened."""

    kind: str
    values: dict[str, Any]
    at: Micros


class Item(msgspec.Struct, array_like=True):
    """What the router knows of one item.

    `links` and the hash `content` are of the version that applies, `content_at` is when that occurred. `standing` is by
    harm and content: a verdict counts for the content it was about. `early` and `waiting`: signals, and events of
    declared kinds, that arrived before the item.
    """

    links: Links | None = None
    content_at: Micros = 0
    content: str = content_hash(None)
    reporters: dict[tuple[str, str | None], None] = {}
    standing: dict[tuple[str, str], Standing] = {}
    early: list[tuple[str, str | None, Micros]] = []
    waiting: list[Waiting] = []

    def credited(self) -> set[str]:
        """The reporters that a decision about the item may credit."""
        return {who for who, _ in self.reporters} | {who for one in self.standing.values() for who in one.reporters}


class Record(NamedTuple):
    """How many of a reporter's reports were confirmed and rejected."""

    confirmed: int = 0
    rejected: int = 0


class Known(Loaded[T]):
    """One kind of what the router knows."""

    def __init__(self, store: StateStore, view: str, type_: type[T], *, limit: int) -> None:
        decode_one = msgspec.msgpack.Decoder(type_).decode

        def decode(stored: Mapping[str, bytes]) -> dict[str, T]:
            try:
                return {key: decode_one(raw) for key, raw in stored.items()}
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ConfigurationError(
                    f"A value of {view} in the worker's state is damaged.",
                    field="LEADS_STATE_STORE",
                    remedy="Derive the state again from the event log: leads worker --rebuild --once",
                ) from error

        super().__init__(store, view, decode, limit=limit)
        self._put: dict[str, T] = {}

    def put(self, key: str, value: T) -> None:
        """Note that a value is new or is going to change in this batch of events."""
        self.values[key] = self._put[key] = value

    def encode_put(self) -> None:
        """End the batch: everything that was put has reached its last value."""
        put, self._put = self._put, {}
        self.end_batch(dict(zip(put, map(_encode, put.values()), strict=True)))
