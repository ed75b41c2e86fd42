"""Makes rows of measured values."""

from __future__ import annotations

import math

from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.estimates.intervals import Interval


def measured(
    harm: str,
    since: Micros,
    until: Micros,
    name: str,
    found: Interval | float | None,
    n: float,
    method: str,
    *,
    slice_: str = "",
    version: str = "",
) -> MetricRow:
    """A row of the window since ≤ t < until.

    Args:
        found: the value, with its interval if it has one; NaN and infinite parts become None.
    """
    value, lo, hi = found if isinstance(found, Interval) else (found, None, None)
    return MetricRow(harm, version, slice_, since, until, name, finite(value), finite(lo), finite(hi), round(n), method)


def finite(x: float | None) -> float | None:
    """The value, unless it is missing, infinite or NaN: JSON and PostgreSQL have no such numbers."""
    return float(x) if x is not None and math.isfinite(x) else None
