"""Appending a file of events to the log."""

from __future__ import annotations

from pathlib import Path

from cli.ui.database import opened
from cli.ui.features.pending import apply_steps
from cli.ui.terminal import next_steps, note, progress
from leads.api.declared import load_declared
from leads.db.engine import reading
from leads.db.ingest import ingest
from leads.db.progress.field_kinds import check_kinds, record_kinds
from leads.messages.wording import counted
from leads.policies import Policies
from leads.settings import Settings


def ingest_file(settings: Settings, policies: Policies, path: Path, *, sender: str, quiet: bool) -> None:
    """Append the events, and print how many were new, and which became visible later than they say.

    Raises:
        NotFound, InvalidInput, Conflict: as `leads.db.ingest.ingest`.
        ConfigurationError: a field of platform.yaml has changed its kind.
    """
    declared = load_declared(settings)
    with opened(settings) as engine:
        with reading(engine) as connection:
            check_kinds(connection, declared.platform, settings.platform)
        with progress("events appended") as tell:
            result = ingest(engine, path, policies, declared, sender=sender, on_progress=tell)
        with engine.begin() as connection:
            record_kinds(connection, declared.platform)
        unapplied = apply_steps(settings, engine)
    skipped = f"; skipped {result.duplicates:,} that were already there" if result.duplicates else ""
    note(f"Appended {counted(result.accepted, 'event')}{skipped}. The log now ends at event {result.offset:,}.")
    if result.moved.served:
        note(
            f"{result.moved.served:,} of them became visible later than their file says: predictions had been served "
            "after that time, without these events."
        )
    if result.moved.order:
        note(
            f"{result.moved.order:,} of them became visible later than their file says: the log, or an earlier line of "
            "the file, had a later time."
        )
    if not quiet:
        next_steps(
            *unapplied,
            ("leads worker --once", "compute features from the new events, and score them"),
            ("leads train --all", "train a model version for each harm"),
        )
