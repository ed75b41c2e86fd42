"""Times are integers: microseconds since 1970-01-01T00:00:00Z. Text and `datetime` are used only at the edges."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Micros = int
Clock = Callable[[], Micros]

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

# `datetime.fromisoformat` also reads dates of weeks, times without seconds and other forms of ISO 8601.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"([0-9]{1,9}) ?(s|m|min|h|d|w)|0+")
_UNITS: dict[str, Micros] = {"s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


def now() -> Micros:
    """The current time."""
    return time.time_ns() // 1_000


def to_datetime(at: Micros) -> datetime:
    """Convert to an aware UTC `datetime`, exact to the microsecond.

    >>> to_datetime(1_500_000).isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    """
    return _EPOCH + timedelta(microseconds=at)


def from_datetime(at: datetime) -> Micros:
    """Convert from an aware `datetime`; the inverse of `to_datetime`.

    Raises:
        ValueError: the `datetime` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("a time needs a UTC offset, for example 2026-01-31T12:00:00Z")
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def to_text(at: Micros) -> str:
    """Format as RFC 3339 in UTC, as the API does.

    >>> to_text(0)
    '1970-01-01T00:00:00Z'
    """
    return to_datetime(at).isoformat().replace("+00:00", "Z")


def from_text(text: str) -> Micros:
    """Parse RFC 3339.

    Raises:
        ValueError: not a valid time, or no UTC offset.

    >>> from_text("1970-01-01T01:00:00+01:00")
    0
    """
    if _RFC_3339.fullmatch(text) is None:
        raise ValueError("a time needs a date, a time with seconds and a UTC offset, for example 2026-01-31T12:00:00Z")
    # `fromisoformat` reads the letters only in upper case.
    return from_datetime(datetime.fromisoformat(text.upper()))


def from_duration(text: str) -> Micros:
    """Parse a duration: a whole number and one of the units s, m, h, d and w.

    Raises:
        ValueError: not a duration.

    >>> from_duration("90d") // DAY, from_duration("30 min") // MINUTE, from_duration("0")
    (90, 30, 0)
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("a duration needs a whole number and a unit, for example 90d, 24h or 30m")
    return int(found[1]) * _UNITS[found[2]] if found[1] else 0
