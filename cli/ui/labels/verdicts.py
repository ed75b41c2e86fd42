"""Verdicts on the platform's items from a CSV file, as decisions in the event log."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import Engine

from cli.ui.database import opened
from cli.ui.features.pending import apply_steps
from cli.ui.terminal import next_steps, note, progress
from leads import clock
from leads.api.declared import load_declared
from leads.db.access.reviewer_names import check_reviewer
from leads.db.engine import reading
from leads.db.ingest import ingest
from leads.db.items import current_items
from leads.db.scans.added_verdicts import SENDER
from leads.errors import InvalidInput
from leads.events import ACCOUNT, Subject
from leads.messages.wording import counted
from leads.policies import Policies
from leads.settings import Settings
from training.data.own_labels_csv import Columns, LabelledText, read

_AT_ONCE = 5_000


def add_verdicts(
    settings: Settings,
    policies: Policies,
    harm: str,
    path: Path,
    columns: Columns,
    *,
    type_id: str,
    reviewer: str,
    quiet: bool,
) -> None:
    """Append a decision for each row that has a verdict.

    Args:
        columns: `text` names the column with the items' ids.
        type_id: the type of the items.

    Raises:
        NotFound: the file or the harm doesn't exist.
        InvalidInput: the harm doesn't apply to the type, the reviewer's name is invalid, or rows are. Nothing was
            appended.
    """
    policy = policies.harm(harm, field="HARM")
    check_reviewer(reviewer)
    if type_id not in policy.subject_types:
        raise InvalidInput(
            f"{harm} doesn't apply to type {type_id!r}.",
            field="--type",
            remedy=f"It applies to: {', '.join(policy.subject_types)}.",
        )
    rows = [row for row in read(path, columns) if isinstance(row, LabelledText)]
    if not rows:
        raise InvalidInput("No row has an id and a verdict.", field=str(path), remedy="Check --id and --label.")
    _check_times(rows, path)
    with tempfile.TemporaryDirectory(prefix="leads-labels-") as folder, opened(settings) as engine:
        lines = Path(folder) / "decisions.jsonl"
        lines.write_text("".join(_lines(rows, harm, type_id, reviewer)), encoding="utf-8")
        with progress("verdicts appended") as tell:
            done = ingest(engine, lines, policies, load_declared(settings), sender=SENDER, on_progress=tell)
        unknown = sum(_unknown(engine, [Subject(type_id, row.text) for row in rows]))
        unapplied = apply_steps(settings, engine)
    violating = sum(row.violating for row in rows)
    skipped = f"; skipped {done.duplicates:,} that were there already" if done.duplicates else ""
    note(
        f"Added {counted(done.accepted, 'verdict')} for {harm}{skipped}. The file has {counted(len(rows), 'verdict')}; "
        f"violating: {violating:,}."
    )
    if unknown:
        rows_name = "1 row names an item" if unknown == 1 else f"{unknown:,} rows name items"
        note(
            f"{rows_name} that the event log doesn't have, without text and with few features. Check the column with "
            "the ids, or load the items: leads ingest FILE"
        )
    if not quiet:
        next_steps(
            *unapplied,
            ("leads worker --once", "process the verdicts"),
            (f"leads train {harm}", "train with them and with every live feature"),
            settings=settings,
        )


def _check_times(rows: list[LabelledText], path: Path) -> None:
    now = clock.now()
    future = [row for row in rows if row.time is not None and row.time > now]
    if future:
        raise InvalidInput(
            f"The time of the verdict is in the future, in {counted(len(future), 'row')}.",
            field=f"{path}:{future[0].line}",
            remedy="A time without an offset is read as UTC.",
        )


def _unknown(engine: Engine, subjects: list[Subject]) -> Iterator[int]:
    """How many of the subjects aren't known, of some at a time."""
    with reading(engine) as connection:
        for start in range(0, len(subjects), _AT_ONCE):
            some = subjects[start : start + _AT_ONCE]
            known = current_items(connection, some)
            yield sum(subject.type_id != ACCOUNT and subject not in known for subject in some)


def _lines(rows: list[LabelledText], harm: str, type_id: str, reviewer: str) -> Iterator[str]:
    """The decisions in the API's format, one line each."""
    for row in rows:
        verdict = "violating" if row.violating else "not_violating"
        at = clock.to_text(clock.now() if row.time is None else row.time)
        said = f"{harm}\0{type_id}\0{row.text}\0{verdict}\0{row.time}"
        decision = {
            "kind": "decision",
            "subject": {"typeId": type_id, "id": row.text},
            "harm": harm,
            "verdict": verdict,
            "reviewer": reviewer,
            "eventId": hashlib.blake2b(said.encode(), digest_size=16).hexdigest(),
            "occurredAt": at,
        }
        yield json.dumps(decision) + "\n"
