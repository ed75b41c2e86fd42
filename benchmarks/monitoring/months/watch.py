"""Monitoring on simulated months, end to end: nine planted changes, and the days before them.

Events go through the log, a worker folds them and scores what they touch with models that the product has trained, and
monitoring runs as `leads monitor run` does, by the platform's clock. Only the pages and Evidently's files are left out,
which name nothing. To save time, it runs every twelve hours, and every hour only while a change must be named within
twelve: a run measures every window that has ended since the last one, so a later run finds the same, only later. What
it finds in an hour that isn't over, it finds less often.

The models learn from three weeks of history. In the two weeks that follow, predictions are logged and events measured,
so that the month, of four weeks, begins on a platform that is known. Its first week is quiet. Then the changes begin,
and all but two end again, so that each is judged while those that move the same are over. An alert that names the right
thing already when a change begins doesn't count: it must be new, or say something new.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.monitoring.months.changes import Changes
from benchmarks.monitoring.months.events import Events, Simulated
from benchmarks.monitoring.months.home import HISTORY_DAYS, append, config_of, new_home, set_clock, train, worker
from benchmarks.monitoring.months.plan import MONTH_DAYS, QUIET_DAYS, Planted, planned, slices_of, within_h
from benchmarks.monitoring.planted import GRACE, each
from benchmarks.report import Measure, at_most, say
from leads import clock
from leads.alerting.alert import Alert
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.monitoring import alerts
from leads.errors import Unavailable
from leads.settings import Settings
from monitoring.alerts.steps import JUDGING, SENDING
from monitoring.quality.events import EVENTS
from monitoring.running.all_jobs import describe
from monitoring.running.opened import opened_world
from monitoring.running.run import run
from simulation.config import SimulationConfig
from simulation.history import simulate

_KNOWN_DAYS = 14
# How long after the end of an hour a run comes, and how far apart runs are where no limit needs more.
_AFTER: Micros = GRACE
_SELDOM: Micros = 12 * clock.HOUR


class Month(NamedTuple):
    """What monitoring said in a month.

    Args:
        hours: after how many hours each change was named; None: not in time.
        quiet: the alerts that opened before the first change, by severity, and by severity and rule.
    """

    hours: dict[str, float | None]
    quiet: Counter[str]


class Told:
    """What alerts have said so far, and which changes they named."""

    def __init__(self, seed: int, planted: Sequence[Planted]) -> None:
        self._seed, self._planted = seed, planted
        self._known: dict[int, set[str]] = {}
        self.month = Month({one.name: None for one in planted}, Counter())

    def look(self, found: Iterable[Alert], now: Micros) -> None:
        """Look at the alerts as the run at `now` has left them, oldest first, also at those that were over by then."""
        for alert in found:
            known = self._known.get(alert.seq, set())
            new = set(slices_of(alert)) - known
            if alert.seq not in self._known:
                say(f"seed {self._seed}, {clock.to_text(now)}: {alert.severity}: {alert.detail.title}")
                if now < self._planted[0].since:
                    self.month.quiet.update((alert.severity, f"{alert.severity} {alert.rule}"))
            self._known[alert.seq] = known | new
            for one in self._planted:
                # Windows that end when it begins are measured a moment later.
                if new and one.since + GRACE < now <= one.limit + GRACE and one.named_by(alert, new):
                    self._name(one, now)

    def _name(self, one: Planted, now: Micros) -> None:
        if self.month.hours[one.name] is None:
            self.month.hours[one.name] = (now - one.since) / clock.HOUR
            say(f"seed {self._seed}: {one.name} named after {(now - one.since) / clock.HOUR:.1f} h")


def watched(seed: int) -> Month:
    """Simulate a platform, and watch a month of it.

    Raises:
        Unavailable: training or a run of monitoring failed.
    """
    logging.getLogger("monitoring").setLevel(logging.ERROR)
    config, began = config_of(seed), time.monotonic()
    trained = config.start + HISTORY_DAYS * clock.DAY
    first = trained + _KNOWN_DAYS * clock.DAY
    planted = planned(seed, first)
    end = max(first + MONTH_DAYS * clock.DAY, *(one.limit + clock.HOUR for one in planted))
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = new_home(Path(folder))
        platform = _Played(settings, config, planted)
        for at in range(config.start + clock.DAY, trained + 1, clock.DAY):
            platform.play(at)
        say(f"seed {seed}: training, after {_minutes(began)}")
        train(settings)
        told = Told(seed, planted)
        with worker(settings) as follow:
            for at in stops(trained, first, end, planted):
                platform.play(at)
                follow()
                set_clock(at + _AFTER)
                if at > first:
                    _run(settings, at + _AFTER, told)
                else:
                    _measure_events(settings, at + _AFTER)
                if (at - first) % (5 * clock.DAY) == 0:
                    say(f"seed {seed}: {(at - first) // clock.DAY} days of the month, after {_minutes(began)}")
    return told.month


class _Played:
    """A simulation whose events are appended to a home's log, with the changes."""

    def __init__(self, settings: Settings, config: SimulationConfig, planted: Sequence[Planted]) -> None:
        folder = settings.root / "simulation"
        simulate(config, folder)
        self._settings, self._changes = settings, Changes(config, planted)
        self._simulated, self._at = Simulated(folder), config.start

    def play(self, until: Micros) -> None:
        """Append what happens until then, and set the clock to it."""
        set_clock(until)
        events: Events = []
        for hour in range(self._at, until, clock.HOUR):
            events += self._changes.changed(self._simulated.before(hour + clock.HOUR), hour)
        append(self._settings, events)
        self._at = until


def stops(trained: Micros, first: Micros, end: Micros, planted: Sequence[Planted]) -> list[Micros]:
    """The hours after which monitoring runs: of the known days each midnight, of the month as the module says."""
    known = range(trained + clock.DAY, first + 1, clock.DAY)
    month = range(first + clock.HOUR, end + 1, clock.HOUR)
    soon = [one for one in planted if one.limit - one.since <= _SELDOM]
    return [
        *known,
        *(at for at in month if at % _SELDOM == 0 or any(one.since < at <= one.limit for one in soon)),
    ]


def _run(settings: Settings, now: Micros, told: Told) -> None:
    with opened_world(settings, now=now) as world:
        outcome = run(world, describe=describe(world), then=(JUDGING, SENDING))
        if outcome.failed:
            raise Unavailable(f"A run of monitoring failed: {' '.join(outcome.notes)}")
        with reading(world.engine) as connection:
            told.look(reversed(alerts.listing(connection, resolved_since=now)), now)


def _measure_events(settings: Settings, now: Micros) -> None:
    """Summarise the day's predictions and measure its events, so that later runs know what is usual."""
    with opened_world(settings, now=now) as world:
        run(world, describe=describe(world), only=(EVENTS,), then=())


def _minutes(began: float) -> str:
    return f"{(time.monotonic() - began) / 60:.1f} min"


def simulated_months(seeds: Sequence[int]) -> list[Measure]:
    """How many of the changes were named in time on simulated platforms, how soon, and what was said before them."""
    months = each(watched, seeds)
    rows = []
    for change in months[0].hours:
        soon = [hours for month in months if (hours := month.hours[change]) is not None]
        limit, missed = within_h(change), len(months) - len(soon)
        name = f"simulated month, {change}"
        rows.append(at_most(f"{name}: not named within {limit:g} h, of {len(months)}", missed, "seeds", 0))
        rows.append(Measure(f"{name}: named after, median", statistics.median(soon) if soon else None, "h"))
    total = sum((month.quiet for month in months), Counter[str]())
    for name, n in sorted(total.items()):
        if " " in name:
            say(f"  {n} x {name}")
    days = QUIET_DAYS * len(months)
    return [
        *rows,
        Measure("simulated months, before any change: watched", days, "days"),
        Measure("simulated months, before any change: pages", total["page"], "pages"),
        Measure("simulated months, before any change: digest entries", total["digest"], "entries"),
    ]
