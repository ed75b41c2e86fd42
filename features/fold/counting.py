"""Applies updates to the rows of one view."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import copysign

import mmh3

from features.declared.row_update import Amounts, RowUpdate
from features.layout import DAY_S, FIRST, LARGEST, LAST, TICK_S, VISIBLE, WATERMARK, Layout
from leads import clock
from leads.clock import Micros

_WATERMARK_S = WATERMARK // clock.SECOND
# The smallest float32 above 0.
_SMALLEST = 2.0**-149


class EntityRow:
    """A row in memory: its cells, the second of its last change, its links, the offset of the last event in it.

    `noted` is the offset of the last built-in event; `is_seen`, whether there was one.
    """

    __slots__ = ("cells", "is_seen", "last", "links", "noted", "offset")

    def __init__(self, cells: array[float], links: tuple[str | None, ...]) -> None:
        self.cells = cells
        self.last = int(cells[LAST]) * DAY_S + int(cells[LAST + 1])
        self.links = links
        self.offset = self.noted = 0
        self.is_seen = bool(cells[FIRST])


class RowWriter:
    """Updates the cells of one view's rows."""

    def __init__(self, layout: Layout) -> None:
        places = layout.places
        self._empty = bytes(4 * layout.width)
        self._no_links = (None,) * len(layout.links)
        # Per ring: bucket width, buckets, first cell, cells per bucket, and 0, 1, … empty buckets.
        self._rings = [
            (w.ring.width_s, w.ring.size, w.start, len(w.members), _empty_buckets(w.ring.size, len(w.members)))
            for w in places.windows.values()
        ]
        self._sketches = places.sketches
        self._cells, self._latest = places.cells, places.latest
        # Where the time of the newest built-in event is, if it has cells of its own.
        self.visible = places.visible if layout.has_declared else None
        # Per counter: (bucket width, buckets, the counter's cell in the newest bucket, cells per bucket).
        self._windows: dict[str, list[tuple[int, int, int, int]]] = {
            counter.name: [
                (w.ring.width_s, w.ring.size, w.start + w.members[counter.name], len(w.members))
                for w in places.windows.values()
                if counter.name in w.members
            ]
            for counter in layout.counters
        }
        self._newest: dict[tuple[str, ...], tuple[int, ...]] = {}

    def new(self, at: Micros) -> EntityRow:
        """A row for an entity that nothing was known of before `at`."""
        cells = array("f", self._empty)
        cells[LAST], cells[LAST + 1] = divmod(at // clock.SECOND, DAY_S)
        return EntityRow(cells, self._no_links)

    def apply(self, row: EntityRow, update: RowUpdate, at: Micros) -> None:
        """Apply an update. `at` is when its event occurred."""
        _, _, counters, distinct, links, linked, _, more = update
        second = at // clock.SECOND
        if second > row.last:
            self._slide(row, second)
        cells = row.cells
        if counters:
            if second // TICK_S == row.last // TICK_S:
                # The usual case: the event falls into the newest bucket of every ring.
                for cell in self._newest.get(counters) or self._newest_cells(counters):
                    cells[cell] += 1.0
            else:
                for counter in counters:
                    self._count(row, counter, second, 1.0)
        if distinct:
            seen = second if more is None or more.seen_at is None else more.seen_at // clock.SECOND
            tick = seen // TICK_S
            for sketch, element in distinct:
                start, slots = self._sketches[sketch]
                cell = start + mmh3.hash(element, 0, False) % slots
                if cells[cell] < tick:
                    cells[cell] = tick
        if more is not None:
            self._add_amounts(row, more, second)
        if links is not None:
            row.links = links + row.links[len(links) :]
        for place, key in linked:
            if row.links[place] != key:
                row.links = (*row.links[:place], key, *row.links[place + 1 :])

    def _add_amounts(self, row: EntityRow, more: Amounts, second: int) -> None:
        """Apply the rarer part of an update whose event occurred at this second."""
        cells = row.cells
        then = second if more.seen_at is None else more.seen_at // clock.SECOND
        if then > row.last:
            # What the event is about may have happened before it, although it arrived later.
            self._slide(row, then)
        for counter, amount, occurred in more.amounts:
            self._count(row, counter, occurred // clock.SECOND, _limited(amount))
        for name, value in more.maxima:
            if value > cells[self._cells[name]]:
                cells[self._cells[name]] = _limited(value)
        if more.peaks or more.latest:
            self._put_values(row, more, then)

    def _put_values(self, row: EntityRow, more: Amounts, second: int) -> None:
        """Keep highest and newest values of an event at this second."""
        cells = row.cells
        for name, value in more.peaks:
            # An empty cell is 0, so 0 and what float32 rounds to it are stored as -0.0.
            value = _limited(value) if abs(value) >= _SMALLEST else -0.0
            if (total := self._cells.get(name)) is not None and (_is_empty(cells[total]) or value > cells[total]):
                cells[total] = value
            for width_s, size, cell, cells_per_bucket in self._windows.get(name, ()):
                bucket = row.last // width_s - second // width_s
                at = cell + bucket * cells_per_bucket
                if bucket < size and (_is_empty(cells[at]) or value > cells[at]):
                    cells[at] = value
        for name, value in more.latest:
            at = self._latest[name]
            if second >= int(cells[at + 1]) * DAY_S + int(cells[at + 2]):
                cells[at] = _limited(value)
                cells[at + 1], cells[at + 2] = divmod(second, DAY_S)

    def _newest_cells(self, counters: tuple[str, ...]) -> tuple[int, ...]:
        """The cells to increase when these counters count an event in the newest bucket."""
        cells = [self._cells[counter] for counter in counters if counter in self._cells]
        cells += [cell for counter in counters for _, _, cell, _ in self._windows[counter]]
        self._newest[counters] = tuple(cells)
        return self._newest[counters]

    def _count(self, row: EntityRow, counter: str, second: int, amount: float) -> None:
        total = self._cells.get(counter)
        if total is not None:
            row.cells[total] += amount
        for width_s, size, cell, cells_per_bucket in self._windows[counter]:
            bucket = row.last // width_s - second // width_s
            if bucket < size:
                row.cells[cell + bucket * cells_per_bucket] += amount

    def _slide(self, row: EntityRow, second: int) -> None:
        """Shift the rings so that their newest bucket contains `second`."""
        last, row.last = row.last, second
        cells = row.cells
        cells[LAST], cells[LAST + 1] = divmod(second, DAY_S)
        for width_s, size, start, count, empty in self._rings:
            by = second // width_s - last // width_s
            if not by:
                # Buckets nest, so the wider ones haven't ended either.
                break
            end = start + size * count
            if by >= size:
                cells[start:end] = empty[size]
            else:
                cells[start:end] = empty[by] + cells[start : end - by * count]

    def note(self, row: EntityRow, at: Micros) -> None:
        """Note a built-in event: it may be the entity's first, or older than every window."""
        second, cells = at // clock.SECOND, row.cells
        if not row.is_seen:
            row.is_seen = True
            cells[FIRST], cells[FIRST + 1] = divmod(second, DAY_S)
        if second >= row.last:
            return
        if second < int(cells[FIRST]) * DAY_S + int(cells[FIRST + 1]):
            cells[FIRST], cells[FIRST + 1] = divmod(second, DAY_S)
        if row.last - second > _WATERMARK_S:
            cells[self._cells["late"]] += 1.0


def _empty_buckets(size: int, count: int) -> list[array[float]]:
    """0 to `size` buckets of `count` cells, without any value."""
    return [array("f", bytes(4 * by * count)) for by in range(size + 1)]


def _limited(value: float) -> float:
    return min(max(value, -LARGEST), LARGEST) if value == value else value


def _is_empty(cell: float) -> bool:
    return cell == 0 and copysign(1.0, cell) > 0


def stamp(rows: Iterable[EntityRow], visible_at: Micros, cell: int = VISIBLE) -> None:
    """Record in the rows when their newest event became visible.

    Args:
        cell: the first of the three cells that it is recorded in.
    """
    second, micro = divmod(visible_at, clock.SECOND)
    day, second = divmod(second, DAY_S)
    for row in rows:
        row.cells[cell], row.cells[cell + 1], row.cells[cell + 2] = day, second, micro
