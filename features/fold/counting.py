"""Folding occurrences into one view's rows."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import NamedTuple

import mmh3

from features.layout import DAY_S, FIRST, LAST, MIX, TICK_S, VISIBLE, WATERMARK, Layout
from leads import clock
from leads.clock import Micros

_WATERMARK_S = WATERMARK // clock.SECOND


class Occurrence(NamedTuple):
    """What a stage is told of one event: what to do to the row of one of its keys.

    Args:
        counters: each is counted once, at the event's instant.
        distinct: (sketch, element) pairs seen at the event's instant, or at `seen_at`.
        amounts: (counter, amount, instant in µs) for what isn't just one more now.
        maxima: (name, value).
        links: the row's links from now on; None leaves them.
    """

    view: str
    key: str
    counters: tuple[str, ...] = ()
    distinct: tuple[tuple[str, str], ...] = ()
    amounts: tuple[tuple[str, float, Micros], ...] = ()
    maxima: tuple[tuple[str, float], ...] = ()
    seen_at: Micros | None = None
    links: tuple[str | None, ...] | None = None


class Row:
    """A row in memory: its cells, the second of its last touch, its links, the last event that changed it."""

    __slots__ = ("cells", "last", "links", "offset")

    def __init__(self, cells: array[float], links: tuple[str | None, ...]) -> None:
        self.cells = cells
        self.last = int(cells[LAST]) * DAY_S + int(cells[LAST + 1])
        self.links = links
        self.offset = 0


class RowWriter:
    """The arithmetic of one view's rows."""

    def __init__(self, layout: Layout) -> None:
        places = layout.places
        self._empty = bytes(4 * layout.width)
        self._no_links = (None,) * len(layout.links)
        self._rings = [(w.ring.width_s, w.ring.size, w.start, len(w.members)) for w in places.windows.values()]
        self._sketches = places.sketches
        self._cells = places.cells
        # Per counter: (bucket width, buckets, its cell in the newest bucket, cells a bucket).
        self._windows: dict[str, list[tuple[int, int, int, int]]] = {
            counter.name: [
                (w.ring.width_s, w.ring.size, w.start + w.members[counter.name], len(w.members))
                for w in places.windows.values()
                if counter.name in w.members
            ]
            for counter in layout.counters
        }
        self._newest: dict[tuple[str, ...], tuple[int, ...]] = {}

    def new(self, at: Micros) -> Row:
        """A row for an entity first seen at `at`."""
        cells = array("f", self._empty)
        second = at // clock.SECOND
        cells[FIRST], cells[FIRST + 1] = cells[LAST], cells[LAST + 1] = divmod(second, DAY_S)
        return Row(cells, self._no_links)

    def apply(self, row: Row, told: Occurrence, at: Micros) -> None:
        """Do what one event's occurrence says. `at` is when it occurred."""
        second = at // clock.SECOND
        if second > row.last:
            self._move(row, second)
        cells = row.cells
        if told.counters:
            if second // TICK_S == row.last // TICK_S:
                # Nearly always: the event falls into the newest bucket of every ring.
                for cell in self._newest.get(told.counters) or self._newest_cells(told.counters):
                    cells[cell] += 1.0
            else:
                for counter in told.counters:
                    self._count(row, counter, second, 1.0)
        tick = (second if told.seen_at is None else told.seen_at // clock.SECOND) // TICK_S
        for sketch, element in told.distinct:
            start, slots = self._sketches[sketch]
            cell = start + mmh3.hash(element, 0, False) % slots
            if cells[cell] < tick:
                cells[cell] = tick
        for counter, amount, then in told.amounts:
            if then // clock.SECOND > row.last:
                self._move(row, then // clock.SECOND)
            self._count(row, counter, then // clock.SECOND, amount)
        for name, value in told.maxima:
            if value > cells[self._cells[name]]:
                cells[self._cells[name]] = value
        if told.links is not None:
            row.links = told.links

    def _newest_cells(self, counters: tuple[str, ...]) -> tuple[int, ...]:
        """The cells that count one more now."""
        cells = [self._cells[counter] for counter in counters if counter in self._cells]
        cells += [cell for counter in counters for _, _, cell, _ in self._windows[counter]]
        self._newest[counters] = tuple(cells)
        return self._newest[counters]

    def _count(self, row: Row, counter: str, second: int, amount: float) -> None:
        total = self._cells.get(counter)
        if total is not None:
            row.cells[total] += amount
        for width_s, size, cell, cells_a_bucket in self._windows[counter]:
            bucket = row.last // width_s - second // width_s
            if bucket < size:
                row.cells[cell + bucket * cells_a_bucket] += amount

    def _move(self, row: Row, second: int) -> None:
        """Slide the rings so that they end at `second`."""
        last, row.last = row.last, second
        cells = row.cells
        cells[LAST], cells[LAST + 1] = divmod(second, DAY_S)
        for width_s, size, start, count in self._rings:
            by = second // width_s - last // width_s
            if not by:
                # Buckets nest: the wider ones didn't end either.
                break
            end = start + size * count
            if by >= size:
                cells[start:end] = array("f", bytes(4 * (end - start)))
            else:
                cells[start:end] = array("f", bytes(4 * by * count)) + cells[start : end - by * count]

    def look_back(self, row: Row, at: Micros) -> None:
        """Once per event: one older than the row's newest may be the entity's first, or beyond every window."""
        second, cells = at // clock.SECOND, row.cells
        if second >= row.last:
            return
        if second < int(cells[FIRST]) * DAY_S + int(cells[FIRST + 1]):
            cells[FIRST], cells[FIRST + 1] = divmod(second, DAY_S)
        if row.last - second > _WATERMARK_S:
            cells[self._cells["late"]] += 1.0


def mix_counter(element: str) -> str:
    """The counter into which a track's plays fall."""
    return MIX[mmh3.hash(element, 7, False) % len(MIX)]


def stamp(rows: Iterable[Row], visible_at: Micros) -> None:
    """Note in the rows when their newest event became visible."""
    second, micro = divmod(visible_at, clock.SECOND)
    day, second = divmod(second, DAY_S)
    for row in rows:
        row.cells[VISIBLE], row.cells[VISIBLE + 1], row.cells[VISIBLE + 2] = day, second, micro
