"""Progress and results of `leads worker --once` and `leads score-backlog`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.engine import Engine

from cli.ui.database import opened
from cli.ui.terminal import console, escape, minute, next_steps, note, progress_by_step, table
from features.partition import Partition
from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.db.progress.unscored import parts
from leads.messages.wording import counted
from leads.policies import Policies, load_policies
from leads.settings import Settings
from serving.versions.published_state import read_state
from serving.worker.backlog import HarmBacklog, find_backlog, no_champion, score_backlog
from serving.worker.run import run_once

TRAIN_CSV = "leads train HARM --csv FILE --text COLUMN --label COLUMN"
# What to do next where the event log is empty.
NO_EVENTS = (
    ("leads simulate", "simulate a platform, if you have no events of your own"),
    ("leads ingest FILE", "append events to the log"),
    (TRAIN_CSV, "train on labels of your own; it needs no events"),
)
# Counting reads the log. Up to this many events, that takes about a second.
_QUICK = 200_000


def process_once(settings: Settings, partitions: Sequence[Partition], *, quiet: bool) -> None:
    """Process what is in the event log now, and show what came of it.

    Raises:
        ConfigurationError, Conflict: as `run_once`.
    """
    with progress_by_step() as tell:
        done = run_once(settings, partitions, on_progress=tell)
    note(f"Features are up to date to event {done.offset:,}." if done.offset else "The event log is empty.")
    if done.has_models:
        note(f"Scored {counted(done.scored, 'subject')} and opened {counted(done.opened, 'lead')}.")
        note_never_scored(settings, load_policies(settings.policies), champions(settings))
    else:
        note("No model version is published yet, so nothing was scored." if done.offset else "Nothing was scored.")
    if quiet:
        return
    if not done.offset:
        next_steps(*NO_EVENTS)
    elif done.has_models:
        serve = ("leads serve", "keep scoring, and serve over HTTP")
        next_steps(("leads queue", "show the ranked leads"), serve, settings=settings)
    else:
        next_steps(("leads train --all", "train a model version for each harm"))


def champions(settings: Settings) -> list[str]:
    """The harms that have a published champion."""
    return [harm for harm, one in read_state(settings.published_dir).harms.items() if one.champion]


def never_scored(engine: Engine, settings: Settings, policies: Policies, harms: Collection[str]) -> Mapping[str, str]:
    """How many subjects were never scored, by harm, as text; only harms that have any.

    In a long log they aren't counted: the text then says which events came too early.
    """
    with reading(engine) as connection:
        found = {harm: ranges for harm, ranges in parts(connection).items() if harm in harms}
        events = event_log.head(connection).offset
    if events > _QUICK:
        return {
            harm: f"subjects of events up to {ranges[-1].up_to:,}, unless a later event touched them"
            for harm, ranges in found.items()
        }
    counts = find_backlog(engine, policies, harms, settings.partitions)
    return {harm: counted(len(waiting), "subject") for harm, waiting in counts.items()}


def note_never_scored(settings: Settings, policies: Policies, harms: Collection[str]) -> None:
    """Say which of the harms have subjects that were never scored, if any have.

    Args:
        harms: that have a champion.
    """
    if not harms:
        return
    with opened(settings) as engine, console.status("looking for subjects that were never scored"):
        found = never_scored(engine, settings, policies, harms)
    if found:
        listed = ", ".join(f"{harm} ({count})" for harm, count in found.items())
        note(
            f"Never scored, because no event has touched them since the harm got its first champion: {listed}. "
            "To score them: leads score-backlog"
        )


def show_backlog(
    settings: Settings, policies: Policies, harms: Sequence[str] | None, *, since: Micros | None, quiet: bool
) -> None:
    """Show how many subjects were never scored.

    Raises:
        NotFound: an unknown harm, or no harm has a champion.
    """
    for harm in harms or ():
        policies.harm(harm, field="--harm")
    chosen = harms or champions(settings)
    if not chosen:
        raise no_champion()
    with opened(settings, create=False) as engine, progress_by_step() as tell:
        found = find_backlog(engine, policies, chosen, settings.partitions, on_progress=tell)
    rows = []
    for harm in chosen:
        waiting = [one for one in found.get(harm, []) if since is None or one.at >= since]
        if waiting:
            rows.append((harm, f"{len(waiting):,}", minute(waiting[-1].at), minute(waiting[0].at)))
    if not rows:
        note(f"Every subject {'with an event since then' if since else 'that can be scored'} was scored.")
        return
    right = ("subjects",)
    console.print(table("Never scored", ("harm", "subjects", "oldest", "newest"), rows, right=right))
    if not quiet:
        next_steps(
            ("leads score-backlog --limit 1000", "score the 1,000 newest of each harm, and open leads"),
            ("leads score-backlog", "score all of them"),
        )


def score_and_show(
    settings: Settings,
    policies: Policies,
    harms: Sequence[str] | None,
    *,
    since: Micros | None,
    limit: int | None,
    quiet: bool,
) -> None:
    """Score subjects that were never scored, and show what came of it.

    Raises:
        NotFound, Conflict, Unavailable: as `score_backlog`.
    """
    with progress_by_step() as tell:
        results = score_backlog(settings, policies, harms, since=since, limit=limit, on_progress=tell)
    for error in (one.error for one in results if one.error is not None):
        note(f"[yellow]{escape(str(error))}[/yellow]")
    if not any(one.waiting for one in results):
        note("Every subject that can be scored was scored.")
        return
    results = [one for one in results if one.error is None]
    columns = ("harm", "scored", "leads opened", "not scorable", "left")
    console.print(table("Backlog", columns, map(_row, results), right=columns[1:]))
    if quiet:
        return
    steps = [("leads queue", "show the ranked leads")]
    if any(one.left for one in results):
        steps.append(("leads score-backlog", "score the rest"))
    next_steps(*steps)


def _row(one: HarmBacklog) -> tuple[str, ...]:
    return one.harm, *(f"{n:,}" for n in (one.scored, one.opened, one.failed, one.left))
