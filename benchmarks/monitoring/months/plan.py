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
        return self.since + round(EXPECTED[self.name].within_h * clock.HOUR)

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
    "broken_feed": (10, 4),
    "renamed_category": (11, MONTH_DAYS * 24),
    "spam_wave": (13, 24),
    "farm_tactic": (16, 48),
    "vocabulary": (19, 72),
    "label_policy": (23, MONTH_DAYS * 24),
}
# Changes of what one harm is about. The others are changes of the platform, or of all harms.
_HARMS = {"spam_wave": "spam", "farm_tactic": "stream_manipulation"}


def planned(seed: int, began: Micros) -> tuple[Planted, ...]:
    """The changes of the month that begins at `began`, in order: each at another hour of the day for each seed."""
    hour = FIRST_HOUR + seed * STEP_HOURS % 24
    starts = {name: began + day * clock.DAY + hour * clock.HOUR for name, (day, _) in _DAYS.items()}
    return tuple(Planted(name, since, since + _DAYS[name][1] * clock.HOUR) for name, since in starts.items())


def slices_of(alert: Alert) -> tuple[str, ...]:
    """The slices that an alert names, as people read it."""
    return tuple(one.slice for one in alert.detail.slices) if RULES[alert.rule].joined else (alert.slice,)
