"""What a job is, and what a step is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.errors import InvalidInput
from monitoring.watch.world import World

PLATFORM = ""
HOURLY: Micros = clock.HOUR
DAILY: Micros = clock.DAY


class Job(NamedTuple):
    """Measures windows, which end at multiples of `every`.

    Args:
        of_platform: it measures the whole platform, with the harm `PLATFORM`, instead of each harm.
        measure: called with the world, the harm and the end of the window; returns its rows, which replace those of an
            earlier measurement of the same window. It decides how long the window is. Equal inputs give equal rows.
        provisional: also measure the window that isn't over, each time.
    """

    name: str
    every: Micros
    measure: Callable[[World, str, Micros], list[MetricRow]]
    of_platform: bool = False
    provisional: bool = False


class Step(NamedTuple):
    """What a run does once everything is measured, such as judging the rules or writing a report.

    Args:
        do: called with the world and the run's id. It is called again if a run was killed, so it must not do twice what
            it did already.
    """

    name: str
    do: Callable[[World, str], None]


def in_future(until: Micros, now: Micros) -> InvalidInput:
    """The error for a window that ends in the future."""
    return InvalidInput(
        f"{clock.to_text(until)} is in the future.", field="--until", remedy=f"Now it is {clock.to_text(now)}."
    )
