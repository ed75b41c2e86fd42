"""One run of monitoring: summarise this host's predictions, measure every window that is due, judge, report.

A run may be killed at any moment, and begun twice: each hour, and each window with the progress of its job, is written
in one transaction, and only one run at a time measures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from leads import clock
from leads.clock import Micros
from leads.db import guard
from leads.db.locks.named_lock import NamedLock
from leads.db.monitoring import progress, runs
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring.progress import Progress
from leads.errors import LeadsError, Unavailable
from leads.files import only_one
from monitoring.running.all_jobs import jobs, steps
from monitoring.running.due import Due
from monitoring.running.surroundings import say_what_happened
from monitoring.summaries.hourly import Describe, HourlySummaries
from monitoring.watch.jobs import PLATFORM, Job, Step, in_future
from monitoring.watch.world import World

_log = logging.getLogger(__name__)

OnStep = Callable[[str], None]


class Outcome(NamedTuple):
    """What a run did.

    Args:
        run: its id; empty if another run was measuring.
        hours: hours whose summaries were written.
        windows: windows that were measured, not counting those that aren't over.
        until: end of the newest of them.
        notes: lines for people.
        failed: harms that couldn't be summarised, and jobs and steps that ended with an error; each is among the notes.
    """

    run: str
    hours: int
    windows: int
    until: Micros | None
    notes: list[str]
    failed: int


class Stopped(Exception):
    """The run was asked to stop. The next one continues where it ended."""


def run(
    world: World,
    *,
    describe: Describe | None = None,
    only: Sequence[Job] | None = None,
    then: Sequence[Step] | None = None,
    harms: Collection[str] | None = None,
    until: Micros | None = None,
    measuring: bool = True,
    on_step: OnStep = lambda step: None,
) -> Outcome:
    """Do everything that is due at `world.now`.

    Args:
        describe: describes subjects for summaries.
        only: these jobs; default: all.
        then: these steps afterwards; default: all.
        harms: only these; default: all.
        until: measure the newest window of each job that ends by this time, whether it is measured already or not,
            instead of those that are due, and take no steps afterwards.
        measuring: False: only summarise this host's predictions.
        on_step: called with what is done next. It may raise Stopped.

    Raises:
        InvalidInput: `until` is in the future.
        Conflict: another process of this home is summarising.
        Unavailable: the database can't be reached.
        Stopped: `on_step` raised it.
    """
    if until is not None and until > world.now:
        raise in_future(until, world.now)
    settings = world.settings
    with only_one(settings.root / "locks" / "monitor.lock", what="running the monitoring of this home"):
        one = _Run(world, world.policies.harms if harms is None else harms, until, on_step)
        one.summarise(describe)
        if not measuring:
            return one.outcome("")
        lock = NamedLock(settings, "leads.monitor")
        try:
            if not lock.acquire():
                world.note("Another host is measuring; this one wrote its summaries.")
                return one.outcome("")
            after = () if until is not None else steps() if then is None else then
            return one.measure(jobs() if only is None else only, after)
        finally:
            lock.close()


class _Run:
    def __init__(self, world: World, harms: Collection[str], until: Micros | None, on_step: OnStep) -> None:
        self._world, self._wanted, self._until, self._on_step = world, harms, until, on_step
        self._hours, self._windows, self._failed = 0, 0, 0
        self._newest: Micros | None = None
        # Those that are summarised; the others would be measured without this host's predictions.
        self._harms: list[str] = []
        self._began = time.monotonic()

    def outcome(self, id_: str) -> Outcome:
        return Outcome(id_, self._hours, self._windows, self._newest, self._world.notes, self._failed)

    def summarise(self, describe: Describe | None) -> None:
        world, policy = self._world, self._world.policies.monitoring
        writer = HourlySummaries(
            world.settings,
            world.engine,
            world.host,
            names_of=world.input_names,
            describe=describe,
            slices=policy.slices,
            ignored_sources=policy.ignore_sources,
        )
        for harm in self._wanted:
            if self._try(f"summarising predictions of {harm}", partial(self._summarise, writer, harm)):
                self._harms.append(harm)

    def _summarise(self, writer: HourlySummaries, harm: str) -> None:
        done = writer.update(harm, self._world.now)
        self._hours += len(done.hours)
        for line in done.notes:
            self._world.note(line)

    def measure(self, due: Sequence[Job], then: Sequence[Step]) -> Outcome:
        world = self._world
        say_what_happened(world)
        with world.engine.begin() as connection:
            id_ = runs.begin(connection, world.host, world.now)
        try:
            windows = Due(world)
            for job in due:
                for harm in (PLATFORM,) if job.of_platform else self._harms:
                    what = f"measuring {job.name} of {harm}" if harm else f"measuring {job.name}"
                    self._try(what, partial(self._job, windows, id_, job, harm))
            for step in then:
                self._try(step.name, partial(step.do, world, id_))
        except BaseException as error:
            self._failed += 1
            world.note(str(error) if isinstance(error, LeadsError) else runs.KILLED)
            with suppress(LeadsError):
                self._end(id_)
            raise
        self._end(id_)
        return self.outcome(id_)

    def _job(self, due: Due, id_: str, job: Job, harm: str) -> None:
        if self._until is not None:
            self._window(id_, job, harm, self._until // job.every * job.every)
            return
        seen = due.begun(job, harm)
        for until in due.ends(job, harm, seen):
            if not self._window(id_, job, harm, until, seen):
                # Summaries have changed since the run read them: the next run measures the window again.
                return
            seen = Progress(until, seen.changes)
        if job.provisional:
            self._write(id_, job, harm, due.current(job))

    def _window(self, id_: str, job: Job, harm: str, until: Micros, seen: Progress | None = None) -> bool:
        """Measure a window that is over; returns whether the job has advanced from `seen`."""
        self._on_step(f"measuring {job.name}{f' of {harm}' if harm else ''} up to {clock.to_text(until)}")
        advanced = self._write(id_, job, harm, until, seen)
        self._windows += 1
        self._newest = max(self._newest or until, until)
        return advanced

    def _write(self, id_: str, job: Job, harm: str, until: Micros, seen: Progress | None = None) -> bool:
        rows = job.measure(self._world, harm, until)
        with self._world.engine.begin() as connection:
            metric_rows.replace(connection, id_, job.name, harm, until, rows)
            return seen is not None and progress.advance(connection, job.name, harm, seen, until)

    def _try(self, what: str, do: Callable[[], None]) -> bool:
        """Do one thing; an error in it doesn't keep the run from doing the others. Returns whether it worked.

        Raises:
            Unavailable: the database can't be reached, so the others would fail too.
        """
        self._on_step(what)
        try:
            do()
        except LeadsError as error:
            if isinstance(error, Unavailable) and error.field == guard.FIELD:
                raise
            self._note_failure(what, str(error))
        except Stopped:
            raise
        # A job that meets a value which nobody thought of must not keep the others from measuring.
        except Exception as error:
            _log.exception("%s failed", what)
            # The message may quote a text.
            self._note_failure(what, f"unexpected {type(error).__name__}; the log says where.")
        else:
            return True
        return False

    def _note_failure(self, what: str, why: str) -> None:
        self._failed += 1
        self._world.note(f"{what[0].upper()}{what[1:]} failed: {why}")

    def _end(self, id_: str) -> None:
        world = self._world
        now = world.now + round((time.monotonic() - self._began) * clock.SECOND)
        with world.engine.begin() as connection:
            runs.end(connection, id_, now, until=self._newest, notes=world.notes, failed=self._failed > 0)
