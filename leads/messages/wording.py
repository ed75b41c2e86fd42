"""Numbers for people: with their units, and short."""

from __future__ import annotations

import math

# From here on, a number is shown by its first digits and an exponent.
_LONG = 1e7


def counted(n: float, singular: str, plural: str | None = None) -> str:
    """
    >>> counted(1, "event"), counted(2000, "event"), counted(0, "entry", "entries"), counted(2.5, "day")
    ('1 event', '2,000 events', '0 entries', '2.5 days')
    """
    return f"{n:,g} {singular}" if n == 1 else f"{n:,.10g} {plural or singular + 's'}"


def short_number(value: float, digits: int = 3) -> str:
    """A number with about `digits` significant digits. What is left of the point is shown in full, up to ten million.

    >>> [short_number(x) for x in (0.0, 0.03014, 4.7312, -96.44, 999.7, 12345.6, 3.14159e8, 1e-5)]
    ['0', '0.0301', '4.73', '-96.4', '1,000', '12,346', '3.14e8', '1e-5']
    >>> short_number(1234.5678, 6), short_number(math.nan)
    ('1,234.57', '–')
    """
    if not math.isfinite(value):
        return "–"
    if 10**digits - 0.5 <= abs(value) < _LONG:
        return f"{value:,.0f}"
    mantissa, _, exponent = f"{value:,.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
