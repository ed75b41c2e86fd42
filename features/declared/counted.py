"""What a view's rows have to hold for the declared features, in the order in which it is placed.

Everything that counts the same events in the same rows is one group. Groups are placed in the order in which features
first need them; within a group, what spreads events over several cells comes last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from features.layout import RINGS, Counter, Layout
from leads.platform.filters import Filter, written
from leads.platform.kinds import BUILT_IN_KINDS

# Events are spread over this many counters by the hash of a value; together they show how evenly.
SPREAD = 16


class Events(NamedTuple):
    """Which events are counted: of a kind, by whose row, and which of them."""

    kind: str
    by: str
    where: Filter | None = None


class Cell(NamedTuple):
    """One thing that is kept about events.

    Args:
        what: their number, the sum of a field, how many have the field, its highest or its newest value, the newest
            value of an item's own field, how they are spread over its values, or its different values.
        source: the field; None for the number of events.
        slots: of the sketch of different values. Sketches of other sizes are kept apart, so that a feature's estimate
            doesn't depend on which other features there are.
    """

    events: Events
    what: Literal["number", "sum", "having", "highest", "peak", "latest", "own", "spread", "different"]
    source: str | None = None
    slots: int = 0

    @property
    def name(self) -> str:
        """A name that is unique within a view."""
        kind, by, where = self.events
        source = kind if self.source is None else f"{kind}.{self.source}"
        what = "" if self.what in ("number", "sum") else f"{self.slots or ''} {self.what} ".lstrip()
        return f"{what}{source} by {by}" + (f" where {written(where)}" if where is not None else "")

    @property
    def spread(self) -> tuple[str, ...]:
        """The names of its counters, if it spreads events over several."""
        return tuple(f"{self.name} {i}" for i in range(SPREAD))


class Needs:
    """What is needed of a view's rows.

    Args:
        links: names of the links stored in a row.
    """

    def __init__(self, view: str, links: tuple[str, ...]) -> None:
        self.view = view
        self.links = links
        # By kind and row; then by cell, the windows.
        self._groups: dict[tuple[str, str], dict[Cell, set[str]]] = {}

    def add(self, cell: Cell, *windows: str) -> None:
        """A cell is needed for these windows."""
        events = cell.events
        self._groups.setdefault((events.kind, events.by), {}).setdefault(cell, set()).update(windows)

    def cells(self) -> Iterator[Cell]:
        """All that is needed."""
        for group in self._groups.values():
            yield from group

    def layout(self, number: int) -> Layout:
        """The view's layout.

        Args:
            number: of the generation of features.
        """
        counters: list[Counter] = []
        for group in self._groups.values():
            for cell in sorted(group, key=lambda cell: cell.what == "spread"):
                counters += _counters(cell, group[cell])
        found = list(self.cells())
        return Layout(
            self.view,
            tuple(counters),
            tuple(cell.name for cell in found if cell.what == "highest"),
            tuple((cell.name, cell.slots) for cell in found if cell.what == "different"),
            self.links,
            tuple(cell.name for cell in found if cell.what == "peak" and "ever" in self._windows(cell)),
            tuple(cell.name for cell in found if cell.what in ("latest", "own")),
            number,
            frozenset(name for cell in found if cell.events.kind not in BUILT_IN_KINDS for name in _names(cell)),
        )

    def _windows(self, cell: Cell) -> set[str]:
        return self._groups[cell.events.kind, cell.events.by][cell]


def _is_exact(cell: Cell) -> bool:
    """Whether the cell counts multiples of 1/64."""
    kind = BUILT_IN_KINDS.get(cell.events.kind)
    return cell.what not in ("sum", "peak") or (kind is not None and cell.source in kind.exact)


def _names(cell: Cell) -> tuple[str, ...]:
    return cell.spread if cell.what == "spread" else (cell.name,)


def _counters(cell: Cell, windows: set[str]) -> Iterator[Counter]:
    if cell.what not in ("number", "sum", "having", "spread", "peak"):
        return
    rings = tuple(ring.window for ring in RINGS if ring.window in windows)
    for name in _names(cell):
        yield Counter(name, rings, "ever" in windows and cell.what != "peak", not _is_exact(cell))
