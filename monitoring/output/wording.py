"""How metrics, their values, slices and windows are written for people."""

from __future__ import annotations

import math

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.figures import FIGURES, Unit
from leads.db.monitoring.rows import MetricRow
from leads.estimates.slices import slice_parts
from leads.messages.wording import counted, short_number

_TITLES: dict[str, tuple[str, Unit]] = {figure.name: (figure.title, figure.unit) for figure in FIGURES} | {
    "drift.input": ("Drift of an input", "number"),
    "drift.growing": ("Growth of an input", "number"),
    "drift.flagged": ("Change of the share flagged", "number"),
    "drift.text": ("Drift of the texts", "number"),
    "drift.verdicts": ("Change of reviewers' verdicts at equal scores", "number"),
    "performance.precision_deficit": ("Precision below its target", "share"),
    "performance.gap": ("Promised minus found precision", "share"),
    "performance.agreement": ("Agreement of reviewers", "share"),
    "inputs.missing": ("More often missing", "share"),
    "inputs.stuck": ("Same value for everyone", "share"),
    "inputs.out_of_range": ("Out of range", "share"),
    "inputs.new_values": ("Values that training never saw", "share"),
    "predictions.lag_s": ("Delay of scoring", "seconds"),
    "predictions.gap_h": ("Gap in the prediction log", "hours"),
    "events.volume": ("Events", "count"),
    "events.missing": ("Events missing", "share"),
    "events.clock_shift_h": ("Clock off by", "hours"),
    "events.delay_h": ("Events arrive after", "hours"),
    "events.late_share": ("Late events", "share"),
    "events.duplicates": ("Duplicate events", "count"),
    "reports.concentration": ("Reports about few subjects", "share"),
    "challenger.agreement": ("Agreement with the challenger", "share"),
    "challenger.gain": ("Gain by the challenger", "number"),
    "challenger.labels_left": ("Labels until it is decided", "count"),
}
_AGAINST = {"reference": "against training", "before": "against the time before"}


def title_of(name: str) -> str:
    """What a metric is called; its name if it is unknown."""
    return _TITLES[name][0] if name in _TITLES else name


def value_text(name: str, value: float | None) -> str:
    """A value of a metric.

    >>> value_text("performance.precision", 0.8123), value_text("drift.score", 0.0444), value_text("queue.oldest_h", 3)
    ('81.2%', '0.0444', '3.0 h')
    """
    if value is None or not math.isfinite(value):
        return "–"
    match _TITLES[name][1] if name in _TITLES else "number":
        case "yes_no":
            return "yes" if value >= 0.5 else "no"
        case "share":
            return f"{value:.1%}"
        case "count":
            return f"{value:,.0f}"
        case "seconds":
            return f"{value:,.1f} s"
        case "hours":
            return f"{value:,.1f} h"
        case _:
            return short_number(value)


def interval_text(row: MetricRow) -> str:
    """The bounds of a row; empty without any.

    >>> interval_text(MetricRow("spam", "3", "", 0, 0, "performance.precision", 0.8, 0.71, 0.88, 90, ""))
    '71.0% to 88.0%'
    """
    if row.lo is None and row.hi is None:
        return ""
    if row.hi is None:
        return f"at least {value_text(row.name, row.lo)}"
    if row.lo is None:
        return f"at most {value_text(row.name, row.hi)}"
    return f"{value_text(row.name, row.lo)} to {value_text(row.name, row.hi)}"


def slice_text(slice_: str) -> str:
    """A slice.

    >>> slice_text("against=reference;type=comment"), slice_text("")
    ('type comment, against training', 'all')
    """
    parts = slice_parts(slice_)
    against = _AGAINST.get(parts.pop("against", ""), "")
    said = [f"{name} {value}" if name != "column" else value for name, value in parts.items()]
    return ", ".join([*said, *([against] if against else [])]) or "all"


def length_text(since: Micros, until: Micros) -> str:
    """The length of a window.

    >>> length_text(0, clock.HOUR), length_text(0, 3 * clock.DAY), length_text(0, 7 * clock.DAY)
    ('1 hour', '72 hours', '7 days')
    """
    hours = (until - since) / clock.HOUR
    return counted(hours / 24, "day") if hours > 72 and hours % 24 == 0 else counted(round(hours, 2), "hour")


def time_text(at: Micros) -> str:
    """
    >>> time_text(0)
    '1970-01-01 00:00 UTC'
    """
    return f"{clock.to_datetime(at):%Y-%m-%d %H:%M} UTC"
