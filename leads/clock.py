"""Times are integers: microseconds since 1970-01-01T00:00:00Z. Text and `datetime` are used only at the edges.

For demos and tests, LEADS_CLOCK sets the clock of all processes that inherit the variable, and lets it run faster.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

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
# The variable that sets the clock.
SETTING = "LEADS_CLOCK"
MAX_SPEED = 10_000
_FORM = (
    "must be a time at which the clock stands still, for example 2025-01-10T00:00:00Z, or such a time, how many times "
    "as fast the clock runs, and when it started, for example 2025-01-10T00:00:00Z@60@2026-03-01T12:00:00Z"
)
_DURATION = re.compile(r"([0-9]{1,9}) ?(s|m|min|h|d|w)|0+")
_UNITS: dict[str, Micros] = {"s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


class SetClock(NamedTuple):
    """A clock that shows `start` when this host's shows `anchor`, and runs `speed` times as fast.

    The anchor is a time of this host's clock, so all processes that know it agree, whenever they start.
    """

    start: Micros
    speed: float = 0.0
    anchor: Micros = 0

    def at(self, real: Micros) -> Micros:
        """What it shows at a time of this host's clock."""
        return self.start + round((real - self.anchor) * self.speed)


def now() -> Micros:
    """The current time: this host's, or that of LEADS_CLOCK.

    Raises:
        ValueError: LEADS_CLOCK is invalid, and the settings weren't read, which say so.
    """
    real = time.time_ns() // 1_000
    own = set_clock()
    return real if own is None else own.at(real)


def set_clock() -> SetClock | None:
    """The clock that LEADS_CLOCK sets; None if it isn't set."""
    text = os.environ.get(SETTING, "")
    return parsed(text) if text.strip() else None


@lru_cache(maxsize=8)
def parsed(text: str) -> SetClock:
    """Parse `START`, at which the clock stands still, or `START@SPEED@ANCHOR`.

    Raises:
        ValueError: it is something else.

    >>> clock = parsed("2025-01-10T00:00:00Z@60@2026-03-01T12:00:00Z")
    >>> to_text(clock.at(from_text("2026-03-01T12:01:00Z")))
    '2025-01-10T01:00:00Z'
    >>> to_text(parsed("2025-01-10T00:00:00Z").at(0))
    '2025-01-10T00:00:00Z'
    """
    start, *rest = text.strip().split("@")
    try:
        if not rest:
            return SetClock(from_text(start))
        speed, anchor = rest
        found = SetClock(from_text(start), float(speed), from_text(anchor))
    except ValueError:
        raise ValueError(_FORM) from None
    if not 0 < found.speed <= MAX_SPEED:
        raise ValueError(f"the speed must be above 0 and at most {MAX_SPEED:,}")
    return found


def wait_s(seconds: float) -> float:
    """How many seconds of this host's clock take so many of this one. A clock that stands still counts as real."""
    own = set_clock()
    return seconds / own.speed if own is not None and own.speed else seconds


def seconds_since(at: Micros) -> float:
    """How many seconds of this host's clock have passed since a time of this one: for what is due in real time."""
    return wait_s((now() - at) / SECOND)


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
