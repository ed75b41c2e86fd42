"""Progress and result of `leads worker --once`."""

from __future__ import annotations

from collections.abc import Sequence

from cli.ui.backlog import champions, note_never_scored
from cli.ui.database import opened
from cli.ui.terminal import next_steps, note, progress_by_step
from features.fold.fold import Partition
from leads.messages.wording import counted
from leads.policies import load_policies
from leads.settings import Settings
from serving.worker.run import run_once


def process_once(settings: Settings, partitions: Sequence[Partition], *, quiet: bool) -> None:
    """Process what is in the event log now, and show what came of it.

    Raises:
        ConfigurationError, Conflict: as `run_once`.
    """
    with progress_by_step() as tell:
        done = run_once(settings, partitions, on_progress=tell)
    note(f"Features are up to date to event {done.offset:,}.")
    if done.has_models:
        note(f"Scored {counted(done.scored, 'subject')} and opened {counted(done.opened, 'lead')}.")
        with opened(settings) as engine:
            note_never_scored(engine, settings, load_policies(settings.policies), champions(settings))
    else:
        note("No model version is published yet, so nothing was scored.")
    if quiet:
        return
    if done.has_models:
        next_steps(("leads queue", "show the ranked leads"), ("leads serve", "keep scoring, and serve over HTTP"))
    else:
        next_steps(("leads train --all", "train a model version for each harm"))
