"""Verdicts on the platform's items from a CSV file, as decisions in the event log."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy.engine import Engine

from cli.ui.database import opened
from cli.ui.features.pending import apply_steps
from cli.ui.terminal import next_steps, note, progress
from leads import clock
from leads.api.declared import load_declared
from leads.db.access.reviewer_names import check_reviewer
from leads.db.engine import reading
from leads.db.event_ids import ids_in_log
from leads.db.ingest import ingest
from leads.db.items import current_items
from leads.db.scans.added_verdicts import SENDER
from leads.errors import Conflict, InvalidInput, moved
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
    force: bool = False,
    quiet: bool,
) -> None:
    """Append a decision for each row that has a verdict, unless it was added before.

    Args:
        columns: `text` names the column with the items' ids.
        type_id: the type of the items.
        force: add the verdicts even if more than half of the items aren't in the event log.

    Raises:
        NotFound: the file or the harm doesn't exist.
        InvalidInput: the harm doesn't apply to the type, the reviewer's name is invalid, rows are, or most of the items
            are unknown. Nothing was appended.
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
    # A verdict that the file has twice counts once.
    by_id = {_id_of(row, harm, type_id, reviewer): row for row in reversed(rows)}
    with opened(settings) as engine:
        subjects = list({row.text: Subject(type_id, row.text) for row in rows}.values())
        unknown = sum(_unknown(engine, subjects))
        if 2 * unknown > len(subjects) and not force:
            raise _mostly_unknown(path, columns, type_id, unknown, len(subjects))
        with reading(engine) as connection:
            known = ids_in_log(connection, SENDER, list(by_id))
        new = {id_: row for id_, row in reversed(by_id.items()) if id_ not in known}
        accepted = _append(settings, policies, engine, new, path, harm, type_id, reviewer)
        unapplied = apply_steps(settings, engine)
    violating = sum(row.violating for row in rows)
    skipped = f"; skipped {len(rows) - accepted:,} that were there already" if accepted < len(rows) else ""
    note(
        f"Added {counted(accepted, 'verdict')} for {harm}{skipped}. The file has {counted(len(rows), 'verdict')}; "
        f"violating: {violating:,}."
    )
    if unknown:
        note(
            f"The event log doesn't have {counted(unknown, 'item')} of the file: such verdicts have no text and few "
            "features. Check the column with the ids, or load the items: leads ingest FILE"
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


def _mostly_unknown(path: Path, columns: Columns, type_id: str, unknown: int, ids: int) -> InvalidInput:
    return InvalidInput(
        f"The event log has no {type_id} with {unknown:,} of the {ids:,} ids in column {columns.text!r}.",
        field=str(path),
        remedy="Check --id and --type, or load the items first: leads ingest FILE. To add the verdicts all the same, "
        "use --force. Nothing was added.",
    )


def _append(
    settings: Settings,
    policies: Policies,
    engine: Engine,
    new: Mapping[str, LabelledText],
    path: Path,
    harm: str,
    type_id: str,
    reviewer: str,
) -> int:
    """Append a decision for each row by its id; returns how many there are."""
    if not new:
        return 0
    with tempfile.TemporaryDirectory(prefix="leads-labels-") as folder:
        lines = Path(folder) / "decisions.jsonl"
        lines.write_text("".join(_lines(new, harm, type_id, reviewer)), encoding="utf-8")
        try:
            with progress("verdicts appended") as tell:
                return ingest(
                    engine, lines, policies, load_declared(settings), sender=SENDER, on_progress=tell
                ).accepted
        except (Conflict, InvalidInput) as error:
            at = [row.line for row in new.values()]
            found = moved(error, lambda place: _place(place, lines, path, at))
            if isinstance(error, Conflict):
                found.remedy = "Another command added verdicts meanwhile. Run this one again; it skips known ones."
            raise found from error


def _place(place: str, lines: Path, path: Path, at: Sequence[int]) -> str:
    """The line of the user's file for a line of the decisions: `decisions.jsonl:3 /subject/id`, `verdicts.csv:5`."""
    number = place.removeprefix(f"{lines}:").partition(" ")[0]
    return f"{path}:{at[int(number) - 1]}" if number.isdecimal() else str(path)


def _id_of(row: LabelledText, harm: str, type_id: str, reviewer: str) -> str:
    """Equal for equal verdicts of one reviewer on an item, at the same time if the file has times."""
    verdict = _verdict(row)
    said = "\0".join((harm, type_id, row.text, verdict, reviewer, str(row.time)))
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def _lines(new: Mapping[str, LabelledText], harm: str, type_id: str, reviewer: str) -> Iterator[str]:
    """The decisions in the API's format, one line each."""
    now = clock.now()
    for id_, row in new.items():
        decision = {
            "kind": "decision",
            "subject": {"typeId": type_id, "id": row.text},
            "harm": harm,
            "verdict": _verdict(row),
            "reviewer": reviewer,
            "eventId": id_,
            "occurredAt": clock.to_text(now if row.time is None else row.time),
        }
        yield json.dumps(decision) + "\n"


def _verdict(row: LabelledText) -> str:
    return "violating" if row.violating else "not_violating"
