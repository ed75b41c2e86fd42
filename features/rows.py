"""The packed row: what is stored for one entity, and how its counts are read *at an instant*.

A row is a float32 vector. It opens with three instants, written as (day since 1970, second of that day) because a
float32 is exact only to 24 bits: when the entity was first seen, when the row was last touched, and, with the
microsecond as a third number, when its newest event became visible, which names the row exactly in every store. Then
come totals, one per counter, then for each windowed counter a ring of 24 hour buckets and a ring of 7 day buckets,
newest first, anchored at the bucket of the last touch. Evaluated at a later instant the ring slides, so that "in the
last 24 h" falls while nothing happens.

"In the last 24 hours" means the current clock hour and the 23 before it; "in the last 7 days" the current UTC day and
the 6 before it.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads import clock
from leads.clock import Micros

Matrix = npt.NDArray[np.float32]
Instants = npt.NDArray[np.int64]

FIRST, LAST, VISIBLE, TOTALS = 0, 2, 4, 7
HOURS, DAYS = 24, 7
_HOUR_S, _DAY_S = 3_600, 86_400


class Layout(NamedTuple):
    """Which counters a view's row holds. `windowed` ones have rings and a total, `totals` only a total.

    `links` are string features stored beside the row: the keys of entities it leads to.
    """

    view: str
    windowed: tuple[str, ...]
    totals: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Floats in a row."""
        return TOTALS + len(self.windowed) + len(self.totals) + len(self.windowed) * (HOURS + DAYS)

    def total(self, counter: str) -> int:
        """Position of the counter's total."""
        return TOTALS + (*self.windowed, *self.totals).index(counter)

    def hours(self, counter: str) -> int:
        """Position of the counter's newest hour bucket."""
        rings = TOTALS + len(self.windowed) + len(self.totals)
        return rings + self.windowed.index(counter) * (HOURS + DAYS)

    def days(self, counter: str) -> int:
        """Position of the counter's newest day bucket."""
        return self.hours(counter) + HOURS


ITEM = Layout(
    "item",
    windowed=("plays", "reports"),
    totals=("versions", "notices", "hash_matches"),
    links=("item_account", "item_parent"),
)
ACCOUNT = Layout("account", windowed=("items", "reports", "plays", "short_plays", "night_plays"), totals=("strikes",))
PARENT = Layout("parent", windowed=("children", "reports"))
LAYOUTS = (ITEM, ACCOUNT, PARENT)


class RowWriter:
    """Folds occurrences into one view's rows. A row is an `array('f')`, ready to be stored."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._width = layout.width
        self._totals = {name: layout.total(name) for name in (*layout.windowed, *layout.totals)}
        self._rings = {name: layout.hours(name) for name in layout.windowed}

    def new(self, at: Micros) -> array[float]:
        """A row for an entity first seen at `at`."""
        row = array("f", bytes(4 * self._width))
        _put_instant(row, FIRST, at // clock.SECOND)
        _put_instant(row, LAST, at // clock.SECOND)
        return row

    def touch(self, row: array[float], at: Micros) -> int:
        """Slide the row's rings so that they end at `at`, when that is later; returns the row's last second."""
        second = at // clock.SECOND
        last = _instant(row, LAST)
        if second < _instant(row, FIRST):
            _put_instant(row, FIRST, second)
        if second <= last:
            return last
        hours = second // _HOUR_S - last // _HOUR_S
        if hours:
            days = second // _DAY_S - last // _DAY_S
            for start in self._rings.values():
                _slide(row, start, HOURS, hours)
                if days:
                    _slide(row, start + HOURS, DAYS, days)
        _put_instant(row, LAST, second)
        return second

    def count(self, row: array[float], counter: str, at: Micros, amount: float = 1.0) -> None:
        """Count `amount` at `at`; one too old for a ring still counts in the total."""
        last = self.touch(row, at)
        row[self._totals[counter]] += amount
        start = self._rings.get(counter)
        if start is None:
            return
        second = at // clock.SECOND
        hour = last // _HOUR_S - second // _HOUR_S
        if hour < HOURS:
            row[start + hour] += amount
        day = last // _DAY_S - second // _DAY_S
        if day < DAYS:
            row[start + HOURS + day] += amount


def stamp(row: array[float], visible_at: Micros) -> None:
    """Note in the row when its newest event became visible."""
    second, row[VISIBLE + 2] = divmod(visible_at, clock.SECOND)
    _put_instant(row, VISIBLE, second)


def visible_at(rows: Matrix) -> Instants:
    """When each row's newest event became visible, in µs; 0 where the row is missing.

    Args:
        rows: (n, width), NaN rows for missing entities.
    """
    day, second, micro = np.nan_to_num(rows[:, VISIBLE : VISIBLE + 3]).astype(np.int64).T
    at: Instants = (day * _DAY_S + second) * clock.SECOND + micro
    return at


def seconds(rows: Matrix, at: int) -> npt.NDArray[np.float64]:
    """The stored instant (`FIRST` or `LAST`) of each row in seconds since epoch; NaN where the row is missing."""
    return rows[:, at].astype(np.float64) * _DAY_S + rows[:, at + 1].astype(np.float64)


def window(rows: Matrix, layout: Layout, counter: str, unit: str, as_of: Instants) -> Matrix:
    """Counts in the 24 hours (`unit` "h") or 7 days ("d") before `as_of`.

    Args:
        rows: (n, layout.width), NaN rows for missing entities.
        as_of: (n,) µs since epoch.

    Returns:
        (n,) float32, NaN where the row is missing.
    """
    start, size, width_s = (
        (layout.hours(counter), HOURS, _HOUR_S) if unit == "h" else (layout.days(counter), DAYS, _DAY_S)
    )
    last = seconds(rows, LAST)
    missing = np.isnan(last)
    now = as_of // clock.SECOND
    slid = now // width_s - (np.where(missing, 0, last).astype(np.int64) // width_s)
    kept = size - np.clip(slid, 0, size)
    sums = np.zeros((len(rows), size + 1), dtype=np.float32)
    np.cumsum(rows[:, start : start + size], axis=1, out=sums[:, 1:])
    counted: Matrix = sums[np.arange(len(rows)), kept]
    counted[missing] = np.nan
    return counted


def _instant(row: array[float], at: int) -> int:
    return int(row[at]) * _DAY_S + int(row[at + 1])


def _put_instant(row: array[float], at: int, second: int) -> None:
    row[at], row[at + 1] = divmod(second, _DAY_S)


def _slide(row: array[float], start: int, size: int, by: int) -> None:
    if by >= size:
        row[start : start + size] = array("f", bytes(4 * size))
    else:
        row[start : start + size] = array("f", bytes(4 * by)) + row[start : start + size - by]
