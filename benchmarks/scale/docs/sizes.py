"""The estimates that decide how to run a platform, for platforms of several sizes side by side."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.pages import Grid
from benchmarks.scale.docs.extrapolation import ASSUMED, Assumed, Found, Platform, amount, extrapolated

SIZES = (Platform(1e5, 1e6), Platform(1e6, 1e7), Platform(1e7, 5e7), Platform(1e8, 1e9))
_SHOWN = {
    "events/s, busiest hour": "events/s, busiest hour",
    "partitions, today's code": "partitions",
    "writers that appending needs, at the speed of one on SQLite": "SQLite writers",
    "state of all partitions, on disk": "state, disk",
    "online rows, in memory": "online rows, memory",
    "disk per day: log, segments, rows": "disk a day",
    "disk per day: prediction log": "and predictions",
    "disk for 60 days": "disk for 60 days",
}


def sizes_grid(found: Found, sizes: Sequence[Platform] = SIZES, assumed: Assumed = ASSUMED) -> Grid:
    """One row per platform."""
    rows = []
    for size in sizes:
        by_name = {one.name: one.value for one in extrapolated(found, size, assumed)}
        rows.append((amount(size.items), amount(size.plays_per_day), *(by_name[name] for name in _SHOWN)))
    return Grid("Platforms of other sizes", ("items", "plays a day", *_SHOWN.values()), rows)
