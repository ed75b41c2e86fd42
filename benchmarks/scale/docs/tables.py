"""The tables of what is planned, assumed and estimated."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.pages import Grid
from benchmarks.scale.docs.extrapolation import (
    ASSUMED,
    ASSUMPTIONS,
    PLANNED,
    Assumed,
    Estimate,
    Found,
    Platform,
    amount,
    extrapolated,
)

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


def estimates_grid(estimates: Sequence[Estimate]) -> Grid:
    """The estimates as a table."""
    return Grid("Estimates", ("what", "estimate", "computed as"), [tuple(one) for one in estimates])


def assumptions_grid(platform: Platform = PLANNED, assumed: Assumed = ASSUMED) -> Grid:
    """The assumptions as a table."""
    rows = [
        ("planned", amount(platform.items), "items"),
        ("planned", amount(platform.plays_per_day), "plays per day"),
        *(("assumed", f"{getattr(assumed, name):g}", why) for name, why in ASSUMPTIONS.items()),
    ]
    return Grid("Planned and assumed, not measured", ("", "value", "what"), rows)


def sizes_grid(found: Found, sizes: Sequence[Platform] = SIZES, assumed: Assumed = ASSUMED) -> Grid:
    """The estimates that decide how to run a platform, for platforms of several sizes: one row each."""
    rows = []
    for size in sizes:
        by_name = {one.name: one.value for one in extrapolated(found, size, assumed)}
        rows.append((amount(size.items), amount(size.plays_per_day), *(by_name[name] for name in _SHOWN)))
    return Grid("Platforms of other sizes", ("items", "plays a day", *_SHOWN.values()), rows)
