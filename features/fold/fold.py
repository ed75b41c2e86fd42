"""The fold: events in, rows out. A replay over history and the live tail run the same code.

The router turns each event into row updates. The rows of each view (item, account, parent, text bucket, device) count
by their own keys. Windows use the time when an event occurred (at most its `visible_at`); rows are dated by when it
became visible.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from zlib import crc32

from features.fold.counting import EntityRow, RowWriter, stamp
from features.fold.router import Router
from features.layout import LAYOUT_OF, LAYOUTS
from leads.clock import Micros
from leads.events import LoggedEvent, Played
from leads.rules import happened_at


@dataclass(slots=True)
class ViewBatch:
    """Rows of one view, in the order of their events. `raw` holds their float32 bytes end to end."""

    keys: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    visible_at: list[Micros] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    links: list[tuple[str | None, ...]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, key: str, offset: int, visible_at: Micros, raw: bytes, links: tuple[str | None, ...]) -> None:
        """Append a row."""
        self.keys.append(key)
        self.offsets.append(offset)
        self.visible_at.append(visible_at)
        self.raw += raw
        self.links.append(links)

    def extend(self, other: ViewBatch) -> None:
        """Append the rows of another batch."""
        self.keys += other.keys
        self.offsets += other.offsets
        self.visible_at += other.visible_at
        self.raw += other.raw
        self.links += other.links


Batch = dict[str, ViewBatch]


@dataclass(frozen=True)
class Partition:
    """Share `index` of `count` shares into which each view's keys are split."""

    index: int = 0
    count: int = 1

    def owns(self, view: str, key: str) -> bool:
        """Whether this partition holds the key's row."""
        return self.count == 1 or crc32(f"{view}\0{key}".encode()) % self.count == self.index


# The only partition when keys are not split.
WHOLE = Partition()


class Fold:
    """The router's state and the newest row of each entity in this partition."""

    def __init__(self, partition: Partition = WHOLE) -> None:
        self.router = Router()
        self._partition = partition
        self._writers = {layout.view: RowWriter(layout) for layout in LAYOUTS}
        self._rows: dict[str, dict[str, EntityRow]] = {layout.view: {} for layout in LAYOUTS}
        self._batch = empty_batch()

    def restore(self, view: str, key: str, raw: bytes, links: tuple[str | None, ...]) -> None:
        """Load an entity's newest stored row."""
        self._rows[view][key] = EntityRow(array("f", raw), links)

    def route_only(self, logged: LoggedEvent) -> None:
        """Update only the router, for an event whose rows are stored already. Plays don't change it."""
        if not isinstance(logged.event.body, Played):
            self.router.route(logged)

    def apply(self, logged: LoggedEvent) -> None:
        """Fold one event; every row it changes is added to the batch once."""
        offset, visible_at, event = logged
        at = happened_at(event.occurred_at, visible_at)
        changed: list[tuple[str, str, EntityRow]] = []
        for update in self.router.route(logged):
            view, key = update.view, update.key
            if self._partition.count > 1 and not self._partition.owns(view, key):
                continue
            writer, rows = self._writers[view], self._rows[view]
            row = rows.get(key)
            if row is None:
                row = rows[key] = writer.new(at)
            writer.apply(row, update, at)
            if row.offset != offset:
                row.offset = offset
                writer.note_late(row, at)
                changed.append((view, key, row))
        stamp((row for _, _, row in changed), visible_at)
        for view, key, row in changed:
            self._batch[view].add(key, offset, visible_at, row.cells.tobytes(), row.links)

    def take(self) -> Batch:
        """The rows added since the last call."""
        batch, self._batch = self._batch, empty_batch()
        return batch


def empty_batch() -> Batch:
    """A batch without rows."""
    return {view: ViewBatch() for view in LAYOUT_OF}
