"""Lets monitoring watch a generated platform, an hour at a time, with the clock of the platform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.monitoring.generated import HARM, START, VERSION, Platform
from benchmarks.monitoring.world import HISTORY_DAYS, GeneratedWorld
from leads import clock
from leads.alerting.rules import Rule
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from monitoring.alerts.describing import SLICES_SHOWN
from monitoring.alerts.joining import importance_of, joined, of_columns
from monitoring.alerts.judging import QUIET_WINDOWS, Finding, Key, findings, rules_of
from monitoring.quality.events import EVENTS
from monitoring.running.all_jobs import jobs
from monitoring.watch.jobs import PLATFORM, Job

# Runs start so long after each hour: when hours have settled, and in the middle of the next one.
RUNS: tuple[Micros, ...] = (6 * clock.MINUTE, 36 * clock.MINUTE)
_SETTLE: Micros = 5 * clock.MINUTE
# How far the job of events looks back on what it measured; the others read hours.
_LOOKED_BACK: Micros = 17 * clock.DAY
# The values that rules look back on: five windows of the longest steps.
_JUDGED: Micros = 6 * clock.DAY


class Opened(NamedTuple):
    """An alert that opened at `at` (µs), or that has come to say something else since it opened.

    Args:
        named: the slices that it names, the first one first.
        new: whether it opened now.
    """

    rule: Rule
    harm: str
    slice: str
    at: Micros
    row: MetricRow
    named: tuple[str, ...]
    new: bool


class Timeline:
    """Runs of monitoring on a generated platform. In the first weeks jobs measure, but rules don't judge."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.world = GeneratedWorld(platform, folder)
        self._rules = rules_of(self.world.policies.monitoring)
        self._jobs = jobs()
        self._done: dict[str, Micros] = {}
        self._open: dict[Key, Opened] = {}

    def warm_up(self, until: Micros) -> None:
        """Measure what later hours are compared with, without judging it."""
        for hour in range(until - _LOOKED_BACK, until, clock.HOUR):
            self.world.now = hour + clock.HOUR + RUNS[0]
            self._measure(EVENTS, hour + clock.HOUR)
        for job in self._jobs:
            self._done[job.name] = until // job.every * job.every
            if job is not EVENTS:
                # As a first run does.
                for back in (2, 1, 0):
                    self._measure(job, self._done[job.name] - back * job.every)

    def hours(self, since: Micros, until: Micros) -> Iterator[tuple[Micros, list[Opened]]]:
        """Watch hour by hour: the end of each hour, and the alerts that opened in its runs, or that changed."""
        for hour in range(since, until, clock.HOUR):
            opened: list[Opened] = []
            for after in RUNS:
                self.world.now = hour + clock.HOUR + after
                opened += self._run()
            self.world.store.forget(self.world.now - 30 * clock.DAY)
            yield hour + clock.HOUR, opened

    def _run(self) -> list[Opened]:
        now = self.world.now
        for job in self._jobs:
            last = (now - _SETTLE) // job.every * job.every
            for end in range(self._done.get(job.name, last - job.every) + job.every, last + 1, job.every):
                self._measure(job, end)
            self._done[job.name] = max(last, self._done.get(job.name, last))
            if job.provisional:
                self._measure(job, now // job.every * job.every + job.every)
        return self._judge(now)

    def _measure(self, job: Job, until: Micros) -> None:
        self.world.store.write(job.measure(self.world, PLATFORM if job.of_platform else HARM, until))

    def _judge(self, now: Micros) -> list[Opened]:
        names = {rule.metric for rule in self._rules.values()}
        rows = self.world.store.read(names, None, now - _JUDGED, now + clock.DAY)
        opened = []
        separate = findings(_newest(rows), self._rules, now)
        by_name = self.world.importance(HARM, VERSION)
        importance = {one.key: importance_of(one.slice, by_name) for one in separate}
        for found in joined(separate, importance):
            if found.fires:
                before, named = self._open.get(found.key), _named(found)
                if before is None or before.named != named:
                    one = Opened(found.rule, found.harm, found.slice, now, found.row, named, new=before is None)
                    self._open[found.key] = one
                    opened.append(one)
            elif found.quiet:
                self._open.pop(found.key, None)
        return opened


def _named(found: Finding) -> tuple[str, ...]:
    """The slices that an alert names."""
    if not found.among:
        return (found.slice,)
    return tuple(one.slice for one in of_columns(found.among)[:SLICES_SHOWN])


def _newest(rows: Sequence[MetricRow]) -> list[MetricRow]:
    """The values of the newest windows of each length, as alerts are judged by."""
    ends: dict[tuple[str, str, Micros], list[Micros]] = {}
    kept = []
    for row in rows:
        known = ends.setdefault((row.harm, row.name, row.until - row.since), [])
        if row.until not in known:
            if len(known) >= 2 + QUIET_WINDOWS:
                continue
            known.append(row.until)
        kept.append(row)
    return kept


def watched(platform: Platform, hours: int) -> Iterator[tuple[Micros, list[Opened]]]:
    """Watch the hours that follow the history of a platform."""
    began = START + HISTORY_DAYS * clock.DAY
    with TemporaryDirectory() as folder:
        timeline = Timeline(platform, Path(folder))
        timeline.warm_up(began)
        yield from timeline.hours(began, began + hours * clock.HOUR)
