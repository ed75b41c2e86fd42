"""One run of monitoring: summarise this host's predictions, measure every window that is due, judge, report.

A run may be killed at any moment, and begun twice: each hour, and each window with the progress of its job, is written
in one transaction, and only one run at a time measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.locks.named_lock import NamedLock
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring import runs
from leads.errors import LeadsError, Unavailable
from leads.files import only_one
from leads.messages.wording import counted
from monitoring.summaries.hourly import Describe, HourlySummaries
from monitoring.running.all_jobs import jobs
from monitoring.watch.jobs import PLATFORM, Job
from monitoring.watch.world import World

# Windows that ended longer ago than this are no longer measured after a pause.
_CAUGHT_UP: Micros = 7 * clock.DAY
# Summaries of hours up to this age are still corrected in what was measured from them.
_CORRECTED: Micros = 3 * clock.DAY
# How long to wait for the summaries of other hosts.
_OTHER_HOSTS: Micros = 15 * clock.MINUTE

Progress = Callable[[str], None]


class Outcome(NamedTuple):
    """What a run did.

    Args:
        run: its id; empty if another run was measuring.
        hours: hours whose summaries were written.
        windows: windows that were measured, not counting those that aren't over.
        until: end of the newest of them.
        notes: lines for people.
        failed: jobs that ended with an error, which is among the notes.
    """

    run: str
    hours: int
    windows: int
    until: Micros | None
    notes: list[str]
    failed: int


def run(
    world: World,
    *,
    describe: Describe | None = None,
    only: Sequence[Job] | None = None,
    on_step: Progress = lambda step: None,
) -> Outcome:
    """Do everything that is due at `world.now`.

    Args:
        describe: describes subjects for summaries.
        only: these jobs; default: all.
        on_step: called with what is done next.

    Raises:
        Conflict: another process of this home is summarising.
        Unavailable: the database can't be reached.
    """
    settings = world.settings
    with only_one(settings.root / "locks" / "monitor.lock", what="running the monitoring of this home"):
        hours = _summarise(world, describe, on_step)
        lock = NamedLock(settings, "leads.monitor")
        try:
            if not lock.acquire():
                world.note("Another host is measuring; this one wrote its summaries.")
                return Outcome("", len(hours), 0, None, world.notes, 0)
            with world.engine.begin() as connection:
                id_ = runs.begin(connection, world.host, world.now)
            return _measure(world, id_, hours, jobs() if only is None else only, on_step)
        finally:
            lock.close()


def _summarise(world: World, describe: Describe | None, on_step: Progress) -> dict[str, list[Micros]]:
    """The hours that were written, by harm."""
    policy = world.policies.monitoring
    writer = HourlySummaries(
        world.settings,
        world.engine,
        world.host,
        names_of=world.input_names,
        describe=describe,
        slices=policy.slices,
        ignored_sources=policy.ignore_sources,
    )
    found: dict[str, list[Micros]] = {}
    for harm in world.policies.harms:
        on_step(f"summarising predictions of {harm}")
        done = writer.update(harm, world.now)
        if done.hours:
            found[harm] = done.hours
        for line in done.notes:
            world.note(line)
    return found


def _measure(
    world: World, id_: str, hours: dict[str, list[Micros]], due: Sequence[Job], on_step: Progress
) -> Outcome:
    windows, failed, newest = 0, 0, None
    for job in due:
        for harm in (PLATFORM,) if job.of_platform else tuple(world.policies.harms):
            on_step(f"{job.name} of {harm}" if harm else job.name)
            try:
                ends = _ends(world, job, harm, hours)
                for until in ends:
                    _write(world, id_, job, harm, until, final=True)
                    newest = max(newest or until, until)
                windows += len(ends)
                if job.provisional:
                    _write(world, id_, job, harm, world.now // job.every * job.every + job.every, final=False)
            except Unavailable:
                raise
            except LeadsError as error:
                failed += 1
                world.note(f"{job.name}{f' of {harm}' if harm else ''} failed: {error}")
    with world.engine.begin() as connection:
        runs.end(connection, id_, clock.now(), until=newest, notes=world.notes, failed=failed > 0)
    return Outcome(id_, sum(map(len, hours.values())), windows, newest, world.notes, failed)


def _ends(world: World, job: Job, harm: str, hours: dict[str, list[Micros]]) -> list[Micros]:
    """The ends of the windows to measure: those since the last one, and earlier ones whose summaries changed."""
    last = _settled(world) // job.every * job.every
    with reading(world.engine) as connection:
        done = metric_rows.progress(connection, job.name, harm)
    if done is None:
        return [last]
    start = done
    changed = [hour for hour in hours.get(harm, ()) if hour >= world.now - _CORRECTED]
    if changed and not job.of_platform:
        start = min(start, changed[0] // job.every * job.every)
    if done > last + job.every:
        world.note(
            f"{job.name}{f' of {harm}' if harm else ''}: windows up to {clock.to_text(done)} are measured, which is in "
            "the future: this host's clock was ahead, or was set back."
        )
    if start < last - _CAUGHT_UP:
        world.note(
            f"{job.name}{f' of {harm}' if harm else ''}: nothing was measured from {clock.to_text(start)} to "
            f"{clock.to_text(last - _CAUGHT_UP)}; the last {counted(_CAUGHT_UP // clock.DAY, 'day')} were caught up."
        )
        start = last - _CAUGHT_UP
    return list(range(start // job.every * job.every + job.every, last + 1, job.every))


def _settled(world: World) -> Micros:
    """The time up to which hours count as complete."""
    settled = world.now - round(world.policies.monitoring.settle_minutes * clock.MINUTE)
    hour = settled // clock.HOUR * clock.HOUR
    with reading(world.engine) as connection:
        others = metric_rows.summarised(connection, world.now - clock.DAY)
    waiting = [host for host, at in others.items() if host != world.host and at < hour]
    if waiting and world.now < hour + _OTHER_HOSTS:
        return hour - clock.HOUR
    if waiting:
        world.note(
            f"{counted(len(waiting), 'host')} wrote no summary of the hour before {clock.to_text(hour)}. Is "
            "leads monitor watch running there?"
        )
    return settled


def _write(world: World, id_: str, job: Job, harm: str, until: Micros, *, final: bool) -> None:
    rows = job.measure(world, harm, until)
    with world.engine.begin() as connection:
        metric_rows.write(connection, id_, rows)
        if final:
            done = metric_rows.progress(connection, job.name, harm)
            metric_rows.set_progress(connection, job.name, harm, max(until, done or until))
