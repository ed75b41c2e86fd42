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

A sketch has one cell per slot: the last five-minute interval, counted since 1970, in which an element that hashes to
the slot occurred (linear counting, Whang et al. 1990, with times instead of bits). One sketch therefore serves every
window, and a late or duplicate event can't corrupt it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads import clock

Matrix = npt.NDArray[np.float32]
Instants = npt.NDArray[np.int64]

FIRST, LAST, VISIBLE, HEADER = 0, 2, 4, 7
DAY_S = 86_400
# The microseconds in each part of the time at which a row became visible.
_MICROS = np.array([DAY_S * clock.SECOND, clock.SECOND, 1], np.float64)
# The time resolution of sketches.
TICK_S = 300


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
    """A counter: the windows it is counted in, and whether it also has an all-time total."""

    name: str
    windows: tuple[str, ...] = ()
    total: bool = True


class PlacedRing(NamedTuple):
    """A window's ring within a row: its first cell, and each counter's position within a bucket."""

    ring: Ring
    start: int
    members: dict[str, int]


class Places(NamedTuple):
    """Cell positions within a row, by name. Sketches: (first cell, slots)."""

    cells: dict[str, int]
    windows: dict[str, PlacedRing]
    sketches: dict[str, tuple[int, int]]
    width: int


class Layout(NamedTuple):
    """What a view's row contains, and where.

    Args:
        maxima: names of the values whose all-time maximum is kept.
        sketches: (name, slots) of each distinct count.
        links: string features stored next to the row: keys of the entities it refers to.
    """

    view: str
    counters: tuple[Counter, ...]
    maxima: tuple[str, ...] = ()
    sketches: tuple[tuple[str, int], ...] = ()
    links: tuple[str, ...] = ()

    @property
    def places(self) -> Places:
        """All cell positions; computed once per view."""
        return _places(self)

    @property
    def width(self) -> int:
        """Number of floats in a row."""
        return self.places.width


@cache
def _places(layout: Layout) -> Places:
    """After the header: `late`, totals and maxima; then the rings from narrow to wide; then the sketches."""
    named = ("late", *(counter.name for counter in layout.counters if counter.total), *layout.maxima)
    cells = {name: HEADER + i for i, name in enumerate(named)}
    at = HEADER + len(cells)
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
    return Places(cells, windows, sketches, at)


# Each track hashes to one of these counters; together they show how an account's plays spread over tracks.
MIX = tuple(f"mix_{i}" for i in range(16))

ITEM = Layout(
    "item",
    (
        Counter("versions"),
        Counter("plays", ("1h", "24h", "7d")),
        Counter("short_plays", ("24h",), total=False),
        Counter("reports", ("1h", "24h", "7d", "90d")),
        Counter("reliable_reports", ("7d",), total=False),
        Counter("notices"),
        Counter("hash_matches"),
        Counter("decisions"),
    ),
    maxima=("classifier",),
    sketches=(("listeners", 64), ("reporters", 32)),
    links=("item_account", "item_parent", "item_bucket_0", "item_bucket_1"),
)
ACCOUNT = Layout(
    "account",
    (
        Counter("items", ("1h", "24h", "7d", "90d")),
        Counter("link_items", ("7d",), total=False),
        Counter("reports", ("24h", "7d", "90d")),
        Counter("notices", ("90d",)),
        Counter("strikes", ("90d",)),
        Counter("cleared"),
        Counter("plays", ("1h", "24h", "7d", "90d")),
        Counter("short_plays", ("24h", "7d"), total=False),
        Counter("night_plays", ("7d",), total=False),
        *(Counter(name, ("7d",), total=False) for name in MIX),
        Counter("reports_made", ("7d",)),
        Counter("reports_confirmed"),
        Counter("reports_rejected"),
    ),
    sketches=(("parents", 32), ("texts", 32), ("reporters", 32), ("tracks", 64), ("devices", 16)),
    links=("account_device",),
)
PARENT = Layout(
    "parent",
    (Counter("children", ("1h", "24h", "7d")), Counter("reports", ("24h", "7d"))),
    sketches=(("accounts", 64),),
)
BUCKET = Layout(
    "bucket",
    (Counter("items", ("24h", "7d")), Counter("reports", ("7d",)), Counter("violations", ("90d",))),
    sketches=(("accounts", 64),),
)
DEVICE = Layout("device", (Counter("plays", ("24h",)),), sketches=(("accounts", 64),))
LAYOUTS = (ITEM, ACCOUNT, PARENT, BUCKET, DEVICE)
LAYOUT_OF = {layout.view: layout for layout in LAYOUTS}

# The rows that are read for one subject, by role; a text falls into two buckets.
ROLES: dict[str, Layout] = {
    "item": ITEM,
    "account": ACCOUNT,
    "parent": PARENT,
    "bucket_0": BUCKET,
    "bucket_1": BUCKET,
    "device": DEVICE,
}

# By view: the column that holds the entity's key.
JOIN_KEYS = {
    "item": "subject_key",
    "account": "account_id",
    "parent": "parent_key",
    "bucket": "bucket_key",
    "device": "device_id",
}


def packed_name(view: str) -> str:
    """The feature name of a view's packed row. It includes the view because Feast joins views by column name."""
    return f"{view}_packed"


def missing(n: int) -> dict[str, Matrix]:
    """Packed rows by role for `n` subjects without any stored row."""
    return {role: np.full((n, layout.width), np.nan, dtype=np.float32) for role, layout in ROLES.items()}


def row_instants(packed: dict[str, Matrix]) -> Instants:
    """(n, roles) µs: when each row's newest event became visible; 0 where the row is missing."""
    heads = np.concatenate([packed[role][:, VISIBLE:HEADER] for role in ROLES], axis=1)
    return _instants(heads.reshape(len(heads), len(ROLES), len(_MICROS)))


def visible_at(rows: Matrix) -> Instants:
    """(n,) µs: when the newest event of each row became visible; 0 for rows of NaN."""
    return _instants(rows[:, VISIBLE:HEADER])


def _instants(heads: Matrix) -> Instants:
    """(…) µs from (…, 3) days, seconds and microseconds; 0 for NaN. float64 is exact for them."""
    at: Instants = np.fmax(heads.astype(np.float64) @ _MICROS, 0.0).astype(np.int64)
    return at
