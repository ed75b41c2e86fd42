"""Reading packed rows *at an instant*: a ring slides to it, so that "in the last 24 h" falls while nothing happens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.rows import DAY_S, FIRST, LAST, MIX, TICK_S, VISIBLE, WINDOWS, Instants, Layout, Matrix, visible_at
from leads import clock


class Rows:
    """n packed rows of one view, evaluated each at its own instant. Every value is (n,) float32, NaN where missing.

    Args:
        packed: (n, layout.width) float32, NaN rows for missing entities.
        as_of: (n,) µs since epoch.
    """

    def __init__(self, layout: Layout, packed: Matrix, as_of: Instants) -> None:
        self._places = layout.places
        self._packed = packed
        self._as_of = as_of
        self._missing = np.isnan(packed[:, VISIBLE])
        self._now = as_of // clock.SECOND
        self._last = np.where(self._missing, 0, self._instant(LAST)).astype(np.int64)
        self._any_missing = bool(self._missing.any())
        self._sums: dict[str, Matrix] = {}

    @property
    def age_s(self) -> npt.NDArray[np.float64]:
        """(n,) seconds since the newest event behind each row became visible; inf where the row is missing."""
        ages: npt.NDArray[np.float64] = np.maximum((self._as_of - visible_at(self._packed)) / clock.SECOND, 0.0)
        ages[self._missing] = np.inf
        return ages

    def age_h(self) -> Matrix:
        """Hours since the entity was first seen."""
        hours: Matrix = np.maximum((self._now - self._instant(FIRST)) / 3_600, 0).astype(np.float32)
        return hours

    def total(self, name: str) -> Matrix:
        """A total since ever, or a maximum."""
        return self._packed[:, self._places.cells[name]]

    def count(self, counter: str, window: str) -> Matrix:
        """What was counted in the window."""
        return self._sum(window)[:, self._places.windows[window].members[counter]]

    def distinct(self, sketch: str, window: str) -> Matrix:
        """About how many different elements occurred in the window: -m ln(1 - filled/m) for m slots."""
        start, slots = self._places.sketches[sketch]
        ring = WINDOWS[window]
        oldest = (self._now // TICK_S - ring.width_s * ring.size // TICK_S).astype(np.float32)
        recent = self._packed[:, start : start + slots] > oldest[:, None]
        counted: Matrix = _estimates(slots)[np.add.reduce(recent, axis=1, dtype=np.int64)]
        return self._masked(counted)

    def entropy(self, window: str) -> Matrix:
        """How evenly plays spread over `MIX`, in bits: 0 for one track on repeat, up to 4; NaN without plays."""
        first = self._places.windows[window].members[MIX[0]]
        plays = self._sum(window)[:, first : first + len(MIX)].astype(np.float64)
        whole = plays.sum(axis=1, keepdims=True)
        shares = np.divide(plays, whole, out=np.full_like(plays, np.nan), where=whole > 0)
        bits = -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1)
        # Rounded: the last bits of a logarithm depend on how many rows are computed at once.
        evened: Matrix = (np.round(bits, 4) + 0.0).astype(np.float32)
        return evened

    def _sum(self, window: str) -> Matrix:
        """(n, counters) of the window's ring, slid to the instants."""
        if window not in self._sums:
            ring, start, members = self._places.windows[window]
            slid = self._now // ring.width_s - self._last // ring.width_s
            kept = ring.size - np.minimum(np.maximum(slid, 0), ring.size)
            buckets = self._packed[:, start : start + ring.size * len(members)]
            mask = (np.arange(ring.size) < kept[:, None]).astype(np.float32)
            # Exact whatever the order of summing: cells are multiples of 1/64, far below 2^18.
            sums: Matrix = np.einsum("nsc,ns->nc", buckets.reshape(-1, ring.size, len(members)), mask)
            self._sums[window] = sums
        return self._sums[window]

    def _instant(self, at: int) -> npt.NDArray[np.float64]:
        return self._packed[:, at].astype(np.float64) * DAY_S + self._packed[:, at + 1]

    def _masked(self, values: Matrix) -> Matrix:
        if self._any_missing:
            # An estimate is a fresh array.
            values[self._missing] = np.nan
        return values


def share(part: Matrix, whole: Matrix) -> Matrix:
    """`part` / `whole`, NaN where there is no whole."""
    divided: Matrix = np.divide(part, whole, out=np.full(len(part), np.nan, np.float32), where=whole > 0)
    return divided


def _estimates(slots: int) -> Matrix:
    """(slots + 1,) the estimate by filled slots, in whole numbers; with all filled, half a slot counts as free."""
    if slots not in _ESTIMATES:
        filled = np.arange(slots + 1, dtype=np.float64)
        filled[-1] -= 0.5
        _ESTIMATES[slots] = np.rint(-slots * np.log1p(-filled / slots)).astype(np.float32)
    return _ESTIMATES[slots]


_ESTIMATES: dict[int, Matrix] = {}
