"""The fold: events in, rows out. Replayed over history or run on the live tail it is this same code.

Three stages, each partitioned by its own key and reading only its own state. The item stage sees every event by its
subject and derives what the account and parent stages need; it alone knows who made an item and what it hangs on.

Windows go by when something occurred (never later than it became visible), rows by when it became visible.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from features.rows import ACCOUNT, ITEM, LAYOUTS, PARENT, Layout, RowWriter, stamp
from leads import clock
from leads.clock import Micros
from leads.records import ACCOUNT as ACCOUNT_TYPE
from leads.records import Body, DecisionMade, ItemCreated, LoggedEvent, Played, SignalReceived, Subject

# A stream counts as a play for royalties from 30 seconds on; farms stop soon after.
SHORT_PLAY_S = (30.0, 36.0)
NIGHT_H = range(6)


class Links(NamedTuple):
    """Who made an item and what it hangs on."""

    account_id: str | None = None
    parent_key: str | None = None


class Occurrence(NamedTuple):
    """What one stage is told: count these at `at` for `key`."""

    view: str
    key: str
    counters: tuple[str, ...]


@dataclass(slots=True)
class ViewBatch:
    """Rows of one view in the order of their events. `raw` holds them end to end, float32."""

    keys: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    visible_at: list[Micros] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    links: list[Links] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, key: str, offset: int, visible_at: Micros, raw: bytes, links: Links) -> None:
        self.keys.append(key)
        self.offsets.append(offset)
        self.visible_at.append(visible_at)
        self.raw += raw
        self.links.append(links)

    def extend(self, other: ViewBatch) -> None:
        self.keys += other.keys
        self.offsets += other.offsets
        self.visible_at += other.visible_at
        self.raw += other.raw
        self.links += other.links


Batch = dict[str, ViewBatch]


class Fold:
    """The state of all stages: the newest row of each entity, and each item's links."""

    def __init__(self) -> None:
        self._writers = {layout.view: RowWriter(layout) for layout in LAYOUTS}
        self._rows: dict[str, dict[str, array[float]]] = {layout.view: {} for layout in LAYOUTS}
        self._links: dict[str, Links] = {}
        self._batch = empty_batch()

    def restore(self, view: str, key: str, raw: bytes, links: Links) -> None:
        """Take up an entity's newest stored row again."""
        self._rows[view][key] = array("f", raw)
        if view == ITEM.view and links != Links():
            self._links[key] = links

    def apply(self, logged: LoggedEvent) -> None:
        """Fold one event; its rows join the batch."""
        body = logged.event.body
        at = min(logged.event.occurred_at, logged.visible_at)
        key = body.subject.subject.key
        self._item_stage(key, body, at, logged)
        links = self._links.get(key, Links())
        for occurrence in derived(body, links, at):
            self._count(occurrence, at, logged)

    def take(self) -> Batch:
        """The rows since the last take."""
        batch, self._batch = self._batch, empty_batch()
        return batch

    def links(self, key: str) -> Links:
        """What the item stage knows of one item."""
        return self._links.get(key, Links())

    def _item_stage(self, key: str, body: Body, at: Micros, logged: LoggedEvent) -> None:
        if isinstance(body, ItemCreated):
            account_id = body.subject.id if body.subject.type_id == ACCOUNT_TYPE else body.account_id
            parent_key = body.parent.subject.key if body.parent else None
            self._links[key] = Links(account_id, parent_key)
        self._count(Occurrence(ITEM.view, key, item_counters(body)), at, logged)

    def _count(self, occurrence: Occurrence, at: Micros, logged: LoggedEvent) -> None:
        view, key, counters = occurrence
        writer, state = self._writers[view], self._rows[view]
        row = state.get(key)
        if row is None:
            row = state[key] = writer.new(at)
        writer.touch(row, at)
        for counter in counters:
            writer.count(row, counter, at)
        stamp(row, logged.visible_at)
        links = self._links.get(key, Links()) if view == ITEM.view else Links()
        self._batch[view].add(key, logged.offset, logged.visible_at, row.tobytes(), links)


def item_counters(body: Body) -> tuple[str, ...]:
    """What an event counts as for its own subject."""
    match body:
        case ItemCreated():
            return ("versions",)
        case Played():
            return ("plays",)
        case SignalReceived(kind="user_report"):
            return ("reports",)
        case SignalReceived(kind="trusted_flagger"):
            return ("notices",)
        case SignalReceived(kind="hash_match"):
            return ("hash_matches",)
        case _:
            return ()


def derived(body: Body, links: Links, at: Micros) -> Iterator[Occurrence]:
    """What the account and parent stages are told of an event, given its subject's links."""
    account_id, parent_key = links
    match body:
        case ItemCreated():
            if account_id is not None:
                is_account = body.subject.type_id == ACCOUNT_TYPE
                yield Occurrence(ACCOUNT.view, account_id, () if is_account else ("items",))
            if parent_key is not None:
                yield Occurrence(PARENT.view, parent_key, ("children",))
        case Played():
            yield Occurrence(ACCOUNT.view, body.account_id, _play_counters(body, at))
        case SignalReceived(kind="user_report"):
            if account_id is not None:
                yield Occurrence(ACCOUNT.view, account_id, ("reports",))
            if parent_key is not None:
                yield Occurrence(PARENT.view, parent_key, ("reports",))
        case DecisionMade(verdict="violating"):
            if account_id is not None:
                yield Occurrence(ACCOUNT.view, account_id, ("strikes",))


def _play_counters(body: Played, at: Micros) -> tuple[str, ...]:
    counters: tuple[str, ...] = ("plays",)
    if SHORT_PLAY_S[0] <= body.seconds < SHORT_PLAY_S[1]:
        counters += ("short_plays",)
    if at // clock.HOUR % 24 in NIGHT_H:
        counters += ("night_plays",)
    return counters


def links_of(subject: Subject, stored: Mapping[str, Links]) -> Links:
    """An account is its own maker; an item's links are those stored."""
    if subject.type_id == ACCOUNT_TYPE:
        return Links(subject.id, None)
    return stored.get(subject.key, Links())


def layout_of(view: str) -> Layout:
    """The layout of a view by name."""
    return next(layout for layout in LAYOUTS if layout.view == view)


def empty_batch() -> Batch:
    """No rows of any view."""
    return {layout.view: ViewBatch() for layout in LAYOUTS}
