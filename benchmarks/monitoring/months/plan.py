"""What is planted in a simulated month, when, and what names it correctly."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from benchmarks.monitoring.planted import EXPECTED, FIRST_HOUR, STEP_HOURS
from leads import clock
from leads.alerting.alert import Alert
from leads.alerting.rules import RULES
from leads.clock import Micros

MONTH_DAYS = 28
# The days of the month before any change.
QUIET_DAYS = 7


class Planted(NamedTuple):
    """A change of the events with since ≤ t < until (µs)."""

    name: str
    since: Micros
    until: Micros

    @property
    def limit(self) -> Micros:
        """When it must have been named by, without the moment that a run needs."""
        return self.since + round(within_h(self.name) * clock.HOUR)

    def named_by(self, alert: Alert, slices: Collection[str]) -> bool:
        """Whether an alert that names these slices names the change correctly."""
        harm = _HARMS.get(self.name)
        return (harm is None or alert.is_about(harm)) and EXPECTED[self.name].names(alert.rule, slices)


# The day of the month on which each begins, and for how many hours it lasts. Those that move the same texts or inputs
# are so far apart that the longest windows, of 72 hours, have three in a row without the earlier one.
_DAYS = {
    "one_slice": (QUIET_DAYS, 12),
    "clock_off": (8, 6),
    "report_brigade": (9, 3),
    "broken_feed": (10, 12),
    "renamed_category": (11, MONTH_DAYS * 24),
    "spam_wave": (13, 24),
    "farm_tactic": (16, 48),
    "vocabulary": (19, 72),
    "label_policy": (23, MONTH_DAYS * 24),
}
# A stop within an hour is certain from about 14 / 0.08 = 170 plays an hour, times what plays come in clumps: the few
# accounts of farms and shops make many, so the variance is 13 times that of independent plays. That would be 2,200 an
# hour. The app has about 500, so the shortest window that can tell is one of six hours, and at quiet hours of twelve.
_LONGER = {"broken_feed": 12.0}
# Changes of what one harm is about. The others are changes of the platform, or of all harms.
_HARMS = {"spam_wave": "spam", "farm_tactic": "stream_manipulation"}


def within_h(change: str) -> float:
    """Hours within which a change must be named: as on generated platforms, where a platform of this size can."""
    return _LONGER.get(change, EXPECTED[change].within_h)


def planned(seed: int, began: Micros) -> tuple[Planted, ...]:
    """The changes of the month that begins at `began`, in order: each at another hour of the day for each seed."""
    hour = FIRST_HOUR + seed * STEP_HOURS % 24
    starts = {name: began + day * clock.DAY + hour * clock.HOUR for name, (day, _) in _DAYS.items()}
    return tuple(Planted(name, since, since + _DAYS[name][1] * clock.HOUR) for name, since in starts.items())


def slices_of(alert: Alert) -> tuple[str, ...]:
    """The slices that an alert names, as people read it."""
    return tuple(one.slice for one in alert.detail.slices) if RULES[alert.rule].joined else (alert.slice,)
