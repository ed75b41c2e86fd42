"""What a run says about what happened around it: pauses, clocks, harms that came and went, promotions, an empty log."""

from __future__ import annotations

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.event_log import MAX_CLOCK_SKEW
from leads.db.model_changes import CHAMPION
from leads.db.monitoring import progress, runs, summaries
from leads.db.monitoring.runs import Run
from leads.messages.wording import counted
from monitoring.running.due import CAUGHT_UP, FIRST_WINDOWS
from monitoring.summaries.hourly import LOOKED_BACK
from monitoring.watch.jobs import PLATFORM
from monitoring.watch.world import World

# Pauses up to this are usual where a scheduler runs the jobs.
_PAUSE: Micros = 3 * clock.HOUR


def say_what_happened(world: World) -> None:
    """Note everything that people should know to understand what this run measures, a line each."""
    with world.engine.begin() as connection:
        ahead = runs.bring_back(connection, world.now + MAX_CLOCK_SKEW)
        before = runs.newest(connection, 1)
        measured = progress.harms_of_jobs(connection)
    if ahead:
        now = clock.to_text(world.now)
        world.note(f"The last run began after {now}, the present: a host's clock is wrong, or was set back.")
    last = before[0] if before else None
    _pause(world, last)
    _harms(world, measured)
    for harm in world.policies.harms:
        _versions(world, harm, last.started_at if last else world.now)


def _pause(world: World, last: Run | None) -> None:
    if last is None:
        world.note(
            f"This is the first run: the last {FIRST_WINDOWS} windows are measured, and all later ones from now on."
        )
        return
    if last.state == "running" and last.host == world.host:
        world.note("The last run was killed, or lost the database; this one continues where it ended.")
    since = clock.to_text(last.started_at)
    if world.now - last.started_at > CAUGHT_UP:
        days = counted(CAUGHT_UP // clock.DAY, "day")
        world.note(f"Nothing was measured since {since}. The windows of the last {days} are measured now.")
    elif world.now - last.started_at > _PAUSE:
        world.note(f"Nothing was measured since {since}. All windows since then are measured now.")


def _harms(world: World, measured: set[str]) -> None:
    known = set(world.policies.harms)
    gone = sorted(measured - known - {PLATFORM})
    if gone:
        with world.engine.begin() as connection:
            progress.forget(connection, gone)
        world.note(f"No longer in {world.settings.policies.name}, so no longer measured: {', '.join(gone)}.")
    new = sorted(known - measured)
    if measured and new:
        world.note(f"Measured from now on: {', '.join(new)}.")


def _versions(world: World, harm: str, since: Micros) -> None:
    moves = [one for one in world.changes(harm) if one.alias == CHAMPION and one.state == "done"]
    for one in moves:
        if since < one.at <= world.now:
            world.note(
                f"{harm}: version {one.version} became champion at {clock.to_text(one.at)}. Windows that contain this "
                "time have predictions of both versions."
            )
    with reading(world.engine) as connection:
        empty = summaries.newest(connection, harm, world.now - LOOKED_BACK) is None
    if empty:
        days = counted(LOOKED_BACK // clock.DAY, "day")
        world.note(
            f"{harm}: no predictions in the last {days}."
            if moves
            else f"{harm} has no champion, so there are no predictions to measure."
        )
