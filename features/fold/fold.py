"""The fold: events in, rows out. A replay over history and the live tail run the same code.

The router turns each event into row updates. The rows of each view (item, account, parent, text bucket, device) count
by their own keys. Windows use the time when an event occurred (at most its `visible_at`); rows are dated by when it
became visible.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.declared.feature_set import FeatureSet
from features.declared.row_update import RowUpdate
from features.fold.counting import EntityRow, RowWriter, stamp
from features.fold.entity_rows import entity_rows
from features.fold.router import Router
from features.layout import Layout, Matrix
from features.partition import WHOLE, Partition
from features.rows import LinkValues, pack
from features.state.loaded import Loaded
from features.state.store import StateStore
from leads import clock
from leads.clock import Micros
from leads.events import LoggedEvent
from leads.processes import search_paused
from leads.rules import happened_at


@dataclass(slots=True)
class ViewBatch:
    """Stored rows of one view, in the order of their events."""

    keys: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    visible_at: list[Micros] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)

    def extend(self, other: ViewBatch) -> None:
        """Append the rows of another batch."""
        self.keys += other.keys
        self.offsets += other.offsets
        self.visible_at += other.visible_at
        self.rows += other.rows


Batch = dict[str, ViewBatch]


class Fold:
    """The router, and the newest row of each entity in this partition. Both live in a state store.

    Args:
        store: the state that folding starts from.
        features: what is counted.
    """

    def __init__(self, store: StateStore, features: FeatureSet, partition: Partition = WHOLE) -> None:
        self.router = Router(store, features)
        self._features = features
        self._store = store
        self._partition = partition
        self._writers = {layout.view: RowWriter(layout) for layout in features.layouts}
        self._rows = {layout.view: entity_rows(store, layout) for layout in features.layouts}
        self._state: tuple[Loaded[Any], ...] = (*self._rows.values(), *self.router.state)
        self._batch = empty_batch(features)
        self._copies = {layout.view: _Copies(layout.width) for layout in features.layouts}

    @property
    def changes(self) -> int:
        """The number of values that the next commit writes."""
        return sum(len(loaded.changed) for loaded in self._state)

    @search_paused()
    def apply(self, events: Sequence[LoggedEvent]) -> None:
        """Fold events; every row that an event changes is added to the batch once per event."""
        self.router.load(events)
        routed = [self._owned(self.router.route(logged)) for logged in events]
        self.router.end_batch()
        needed: dict[str, set[str]] = {view: set() for view in self._rows}
        for updates in routed:
            for update in updates:
                needed[update.view].add(update.key)
        for view, keys in needed.items():
            self._rows[view].load(keys)
        counted = {
            view: _Counted(self._writers[view], rows.values, self._copies[view]) for view, rows in self._rows.items()
        }
        for logged, updates in zip(events, routed, strict=True):
            _count(counted, logged, updates)
        for view, found in counted.items():
            batch = found.packed(self._features.layout_of[view])
            self._rows[view].end_batch(dict(zip(batch.keys, batch.rows, strict=True)))
            self._batch[view].extend(batch)

    def _owned(self, updates: list[RowUpdate]) -> list[RowUpdate]:
        if self._partition.count == 1:
            return updates
        return [update for update in updates if self._partition.owns(update.view, update.key)]

    def take(self) -> Batch:
        """The rows added since the last call."""
        batch, self._batch = self._batch, empty_batch(self._features)
        return batch

    def commit(self, position: int) -> None:
        """Store what has changed; `position` is the offset of the last event that was folded."""
        self._store.commit(position, {one.view: one.changed for one in self._state if one.changed})
        for loaded in self._state:
            loaded.committed()


class _Copies:
    """Copies of rows, in memory that is used again for each batch: getting it anew takes longer than copying."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._cells = memoryview(bytearray(4 * width)).cast("f")
        self._used = 0

    def add(self, cells: array[float]) -> None:
        """Append a copy of a row."""
        start, end = self._used, self._used + self._width
        if end > len(self._cells):
            larger = memoryview(bytearray(8 * len(self._cells))).cast("f")
            larger[:start] = self._cells[:start]
            self._cells = larger
        self._cells[start:end] = cells
        self._used = end

    def take(self) -> Matrix:
        """The copies (rows, width) since the last call; the next `add` overwrites them."""
        taken = np.asarray(self._cells, np.float32)[: self._used].reshape(-1, self._width)
        self._used = 0
        return taken


class _Counted:
    """Loaded rows of one view by key, and every version of them that a batch of events leads to."""

    def __init__(self, writer: RowWriter, rows: dict[str, EntityRow], copies: _Copies) -> None:
        self.writer = writer
        self.rows = rows
        self._versions = ViewBatch()
        self._copies = copies
        self._links: list[LinkValues] = []

    def add(self, key: str, offset: int, visible_at: Micros, row: EntityRow) -> None:
        """Append a row as it is now."""
        self._versions.keys.append(key)
        self._versions.offsets.append(offset)
        self._versions.visible_at.append(visible_at)
        self._copies.add(row.cells)
        self._links.append(row.links)

    def packed(self, layout: Layout) -> ViewBatch:
        """All versions in their stored form."""
        if self._links:
            self._versions.rows = pack(layout, self._copies.take(), self._links)
        return self._versions


def _count(views: dict[str, _Counted], logged: LoggedEvent, updates: Sequence[RowUpdate]) -> None:
    offset, visible_at, event = logged
    at = happened_at(event.occurred_at, visible_at)
    second = at // clock.SECOND
    touched: list[tuple[_Counted, str, EntityRow]] = []
    rows: list[EntityRow] = []
    for update in updates:
        view, key = views[update[0]], update[1]
        row = view.rows.get(key)
        if row is None:
            row = view.rows[key] = view.writer.new(at)
        view.writer.apply(row, update, at)
        if row.offset != offset:
            row.offset = offset
            touched.append((view, key, row))
            rows.append(row)
        if row.noted != offset and not update.declared:
            row.noted = offset
            if second < row.last or not row.is_seen:
                view.writer.note(row, at)
    stamp(rows, visible_at)
    for view, key, row in touched:
        if view.writer.visible is not None and row.noted == offset:
            stamp((row,), visible_at, view.writer.visible)
        view.add(key, offset, visible_at, row)


def empty_batch(features: FeatureSet) -> Batch:
    """A batch without rows."""
    return {layout.view: ViewBatch() for layout in features.layouts}
