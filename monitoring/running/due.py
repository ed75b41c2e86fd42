"""Which windows are due: those that ended since the last one, and those of which something has changed."""

from __future__ import annotations

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.event_log import MAX_CLOCK_SKEW
from leads.db.monitoring import progress
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring.progress import Progress
from leads.messages.wording import counted
from monitoring.watch.jobs import PLATFORM, Job
from monitoring.watch.world import World

# A job's first run measures so many windows, so that rules that need a deviation to last can judge them.
FIRST_WINDOWS = 3
# Windows that ended longer ago than this are no longer measured after a pause.
CAUGHT_UP: Micros = 7 * clock.DAY
# How long to wait for the summaries of other hosts, and after which silence a host counts as gone.
_OTHER_HOSTS: Micros = 15 * clock.MINUTE
_GONE: Micros = clock.DAY


class Due:
    """The windows that are due in a run.

    It reads at once how far all jobs are. The world must not have read any summaries before that: what changes later
    keeps jobs from advancing, what changed earlier must not be missing in what they read.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._settled: dict[str, Micros] = {}
        with reading(world.engine) as connection:
            self._progress = progress.of_jobs(connection)
            self._latest = metric_rows.latest_ends(connection, world.now)

    def begun(self, job: Job, harm: str) -> Progress:
        """How far a job is."""
        found = self._progress.get((job.name, harm))
        if found is None:
            found = Progress(self._last(job, harm) - FIRST_WINDOWS * job.every, 0)
            with self._world.engine.begin() as connection:
                progress.begin(connection, job.name, harm, found.until)
        present = (self._world.now + MAX_CLOCK_SKEW) // job.every * job.every
        in_future = self._latest.get((job.name, harm), 0) > present + job.every
        return self._set_back(job, harm, found, present) if in_future or found.until > present else found

    def ends(self, job: Job, harm: str, begun: Progress) -> list[Micros]:
        """The ends of the windows to measure, oldest first.

        Args:
            begun: what `begun` returned.
        """
        last, start = self._last(job, harm), begun.until // job.every * job.every
        if start >= last - CAUGHT_UP:
            return list(range(start + job.every, last + 1, job.every))
        with self._world.engine.begin() as connection:
            # Of the window that wasn't over then.
            metric_rows.delete_later(connection, job.name, harm, start)
        return list(range(last - CAUGHT_UP + job.every, last + 1, job.every))

    def current(self, job: Job) -> Micros:
        """The end of the window that isn't over."""
        return self._world.now // job.every * job.every + job.every

    def _set_back(self, job: Job, harm: str, found: Progress, present: Micros) -> Progress:
        """Undo what was measured while a clock was ahead."""
        now = clock.to_text(self._world.now)
        self._world.note(
            f"Windows that end after {now}, the present, were measured. A host's clock was ahead then, or this one's "
            "was set back. They are measured again once they are over."
        )
        with self._world.engine.begin() as connection:
            progress.set_back(connection, job.name, harm, present)
            metric_rows.delete_later(connection, job.name, harm, present)
        return found if found.until <= present else Progress(present, found.changes + 1)

    def _last(self, job: Job, harm: str) -> Micros:
        """The end of the newest window that is complete."""
        if harm not in self._settled:
            self._settled[harm] = self._settled_of(harm)
        return self._settled[harm] // job.every * job.every

    def _settled_of(self, harm: str) -> Micros:
        """The time up to which hours count as complete."""
        world = self._world
        settled = world.now - round(world.policies.monitoring.settle_minutes * clock.MINUTE)
        if harm == PLATFORM:
            return settled
        hour = settled // clock.HOUR * clock.HOUR
        with reading(world.engine) as connection:
            hosts = progress.summarised(connection, harm, world.now - _GONE)
        hosts.pop(world.host, None)
        waiting = sum(at < hour for at in hosts.values())
        if waiting and world.now < hour + _OTHER_HOSTS:
            return hour - clock.HOUR
        if waiting:
            world.note(
                f"{counted(waiting, 'host')} wrote no summary of the hour before {clock.to_text(hour)}. Predictions "
                "are counted once they are summarised. Is leads monitor watch running there?"
            )
        return settled
