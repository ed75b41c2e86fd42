"""The packed row: what is stored for one entity.

A row is a float32 vector. It starts with three times, each stored as (day since 1970, second of the day) because
float32 is exact only up to 24 bits: when the entity was first seen, when the row was last changed, and when its newest
event became visible. The last one also has a microsecond part, so it identifies the row exactly in every store. Totals
and maxima follow, then a ring of buckets per window, then sketches for distinct counts.

A ring stores its buckets newest first. Each bucket has one cell for every counter that has this window. The newest
bucket is the one of the row's last change, so one shift moves all counters and one sum reads them
(`features.evaluate.bases`).

| window | buckets | covers |
|---|---|---|
| 1h | 12 of 5 minutes | the current five minutes and the 11 before |
| 24h | 24 clock hours | the current hour and the 23 before |
| 7d | 7 UTC days | the current day and the 6 before |
| 90d | 13 of 7 days | the current block of seven days and the 12 before: 84 to 91 days |

Declared events don't change what built-in features are: not when an entity was first seen, which is 0 if only declared
events concern it; and when the newest built-in event became visible has cells of its own. Rows of declared keys, which
have declared events only, show when the first of them happened.

A maximum is 0 where there is no value. A peak may be below 0, so that an empty cell stands for no value, and a peak of
0 is stored as -0.0.

A sketch has one cell per slot: the last five-minute interval, counted since 1970, in which an element that hashes to
the slot occurred (linear counting, Whang et al. 1990, with times instead of bits). One sketch therefore serves every
window, and a late or duplicate event can't corrupt it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads import clock
from leads.platform import expressions

Matrix = npt.NDArray[np.float32]
Instants = npt.NDArray[np.int64]

FIRST, LAST, VISIBLE, HEADER = 0, 2, 4, 7
DAY_S = 86_400
# The microseconds in each part of the time at which a row became visible.
_MICROS = np.array([DAY_S * clock.SECOND, clock.SECOND, 1], np.float64)
# The time resolution of sketches.
TICK_S = 300
# A newest value takes so many cells: the value, and the day and the second of its event.
LATEST = 3
# A value that an event gives counts as at most this, or at least as minus this.
LARGEST = expressions.LARGEST
# The number of the generation that has no features but the built-in ones. Increase it with any change to their layouts.
FIRST_NUMBER = 2


class Ring(NamedTuple):
    """`size` buckets of `width_s` seconds. Each width is a multiple of the narrower ones, so buckets nest."""

    window: str
    width_s: int
    size: int


RINGS = (Ring("1h", TICK_S, 12), Ring("24h", 3_600, 24), Ring("7d", DAY_S, 7), Ring("90d", 7 * DAY_S, 13))
WINDOWS = {ring.window: ring for ring in RINGS}
# An event that arrives later than this still counts in totals, in sketches and as `late`, but in no window.
WATERMARK = RINGS[-1].width_s * RINGS[-1].size * clock.SECOND


class Counter(NamedTuple):
    """A counter, or a highest value per bucket.

    Args:
        windows: the windows it is counted in.
        total: whether it also has an all-time total.
        inexact: whether its amounts may be any numbers. Otherwise they are multiples of 1/64, and sums are exact.
    """

    name: str
    windows: tuple[str, ...] = ()
    total: bool = True
    inexact: bool = False


class PlacedRing(NamedTuple):
    """A window's ring within a row: its first cell, and each counter's position within a bucket."""

    ring: Ring
    start: int
    members: dict[str, int]


class Places(NamedTuple):
    """Cell positions within a row, by name. Sketches: (first cell, slots). Newest values: the first of three cells.

    `visible` is the first of the cells that say when the newest built-in event became visible.
    """

    cells: dict[str, int]
    windows: dict[str, PlacedRing]
    sketches: dict[str, tuple[int, int]]
    latest: dict[str, int]
    visible: int
    width: int


# By view: the column that holds the entity's key, where it isn't the view's name.
_JOIN_KEYS = {
    "item": "subject_key",
    "account": "account_id",
    "parent": "parent_key",
    "bucket": "bucket_key",
    "device": "device_id",
}


@dataclass(frozen=True, eq=False)
class Layout:
    """What a view's row contains, and where. Two layouts are never equal, so that they are cheap to look up by.

    Args:
        maxima: names of the values whose all-time maximum is kept; 0 where there is no value.
        sketches: (name, slots) of each distinct count.
        links: string features stored next to the row: keys of the entities it refers to.
        peaks: names of the values whose all-time maximum is kept and may be below 0.
        latest: names of the values of which the newest is kept.
        number: of the generation of features that the row belongs to.
        declared: names of what is kept about events of kinds that platform.yaml declares.
    """

    view: str
    counters: tuple[Counter, ...]
    maxima: tuple[str, ...] = ()
    sketches: tuple[tuple[str, int], ...] = ()
    links: tuple[str, ...] = ()
    peaks: tuple[str, ...] = ()
    latest: tuple[str, ...] = ()
    number: int = FIRST_NUMBER
    declared: frozenset[str] = frozenset()

    @cached_property
    def places(self) -> Places:
        """All cell positions."""
        return _places(self)

    @cached_property
    def width(self) -> int:
        """Number of floats in a row."""
        return self.places.width

    @property
    def has_declared(self) -> bool:
        """Whether declared events change the rows. Then they also have the time of the newest built-in event."""
        return self.number != FIRST_NUMBER

    @cached_property
    def join_key(self) -> str:
        """The column that holds the key of the view's entities."""
        return _JOIN_KEYS.get(self.view, f"{self.view}_key")

    @cached_property
    def packed_name(self) -> str:
        """The feature name of the packed row. It includes the view because Feast joins views by column name."""
        return f"{self.view}_packed"

    @cached_property
    def table(self) -> str:
        """The name of the view in Feast and in the online store: each generation has its own."""
        return self.view if self.number == FIRST_NUMBER else f"{self.view}_{self.number}"

    @cached_property
    def holds_any_number(self) -> bool:
        """Whether it has cells of any size. Others hold counts, shares and times."""
        values = self.peaks or self.latest or (self.maxima and self.has_declared)
        return bool(values) or any(counter.inexact for counter in self.counters)


def _places(layout: Layout) -> Places:
    """After the header: `late`, totals, maxima, peaks, newest values; then the rings from narrow to wide; sketches."""
    named = ("late", *(counter.name for counter in layout.counters if counter.total), *layout.maxima, *layout.peaks)
    cells = {name: HEADER + i for i, name in enumerate(named)}
    at = HEADER + len(cells)
    visible = VISIBLE
    if layout.has_declared:
        visible, at = at, at + HEADER - VISIBLE
    latest = {name: at + LATEST * i for i, name in enumerate(layout.latest)}
    at += LATEST * len(latest)
    windows: dict[str, PlacedRing] = {}
    for ring in RINGS:
        counted = [counter.name for counter in layout.counters if ring.window in counter.windows]
        if counted:
            windows[ring.window] = PlacedRing(ring, at, {name: i for i, name in enumerate(counted)})
            at += ring.size * len(counted)
    sketches: dict[str, tuple[int, int]] = {}
    for name, slots in layout.sketches:
        sketches[name] = (at, slots)
        at += slots
    return Places(cells, windows, sketches, latest, visible, at)


def missing(roles: Mapping[str, Layout], n: int) -> dict[str, Matrix]:
    """Packed rows by role for `n` subjects without any stored row."""
    return {role: np.full((n, layout.width), np.nan, dtype=np.float32) for role, layout in roles.items()}


def row_instants(packed: Mapping[str, Matrix]) -> Instants:
    """(n, roles) µs: when each row's newest event became visible; 0 where the row is missing."""
    heads = np.concatenate([rows[:, VISIBLE:HEADER] for rows in packed.values()], axis=1)
    return _instants(heads.reshape(len(heads), len(packed), len(_MICROS)))


def visible_at(rows: Matrix) -> Instants:
    """(n,) µs: when the newest event of each row became visible; 0 for rows of NaN."""
    return _instants(rows[:, VISIBLE:HEADER])


def _instants(heads: Matrix) -> Instants:
    """(…) µs from (…, 3) days, seconds and microseconds; 0 for NaN. float64 is exact for them."""
    at: Instants = np.fmax(heads.astype(np.float64) @ _MICROS, 0.0).astype(np.int64)
    return at
