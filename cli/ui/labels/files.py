"""Imported label files: list, show, remove; and the texts that were imported with both labels."""

from __future__ import annotations

from collections.abc import Sequence

from cli.ui.database import opened
from cli.ui.terminal import console, escape, minute, next_steps, note, table
from leads import clock
from leads.db.engine import database_exists, reading
from leads.db.scans.added_verdicts import AddedVerdicts, added_verdicts
from leads.messages.wording import counted
from leads.settings import Settings
from training.data.label_files import (
    IMPORT,
    LabelFile,
    StoredLabel,
    check_harm,
    find,
    harms_with_files,
    label_files,
    remove,
)
from training.data.labelled_rows import FILE
from training.data.observations import Conflict, Observations, observations

_COLUMNS = ("harm", "name", "rows", "violating", "share", "from", "to", "imported (UTC)", "file")
_CONFLICT_COLUMNS = ("text", "rows", "counts as")
_VERDICT_COLUMNS = ("harm", "reviewer", "verdicts", "violating", "share", "from", "to")
_VERDICT_CAPTION = "Added with leads labels add: decisions in the event log, about items of the platform."
_EXCERPT = 40


def list_files(settings: Settings, harm: str | None) -> None:
    """Show the imported files of a harm, or of all harms, and the verdicts that were added from files.

    Raises:
        NotFound: the harm has neither.
        InvalidInput: a stored file can't be read.
    """
    verdicts = [one for one in _verdicts(settings) if harm in (None, one.harm)]
    if harm is not None and not verdicts:
        check_harm(settings, harm)
    harms = harms_with_files(settings) if harm is None else [harm]
    rows = [_row(file) for each in harms for file in label_files(settings, each)]
    if not rows and not verdicts:
        note("No labels have been imported yet.")
        next_steps(
            (IMPORT, "import labelled texts"),
            ("leads labels add HARM FILE --type TYPE", "add verdicts on items of the platform"),
        )
        return
    if rows:
        console.print(table("Imported labels", _COLUMNS, rows, right=_COLUMNS[2:5]))
    if verdicts:
        shown = [_verdicts_row(one) for one in verdicts]
        console.print(
            table("Verdicts added", _VERDICT_COLUMNS, shown, right=_VERDICT_COLUMNS[2:5], caption=_VERDICT_CAPTION)
        )
    first = rows[0][0] if rows else verdicts[0].harm
    of_files = (
        (f"leads labels show {first}", "see which rows count, and which labels conflict"),
        (f"leads labels remove {first} NAME", "stop training on a file's labels"),
    )
    next_steps(
        *(of_files if rows else ()), (f"leads train {first}", "train on them, together with decisions and corpora")
    )


def _verdicts(settings: Settings) -> list[AddedVerdicts]:
    if not database_exists(settings):
        return []
    with opened(settings, create=False) as engine, reading(engine) as connection:
        return added_verdicts(connection)


def show_files(settings: Settings, harm: str, name: str | None) -> None:
    """Show a harm's imported files, or one of them: how many rows count, and the conflicts.

    Raises:
        NotFound: the harm has no imported labels, or none of this name.
        InvalidInput: a stored file can't be read.
    """
    check_harm(settings, harm)
    files = label_files(settings, harm) if name is None else [find(settings, harm, name)]
    found = observations(settings, harm)
    columns = ("name", "rows", "violating", "counted", "violating counted", "from", "to", "imported (UTC)")
    caption = (
        "Counted: rows that training uses. A text counts once, however many rows and files repeat it; it counts for "
        "the file in which it was first imported with its label."
    )
    rows = [_counted(file, found) for file in files]
    console.print(table(f"Imported labels of {harm}", columns, rows, right=columns[1:5], caption=caption))
    for file in files:
        roles = ", ".join(f"{role} {column}" for role, column in file.origin.columns.items())
        note(
            f"  [dim]{escape(file.name)}: {escape(_origin(file))}{escape(f'; columns: {roles}') if roles else ''}[/dim]"
        )
    shown = {file.name for file in files}
    print_conflicts([one for one in found.conflicts if any(row.file in shown for row in one.rows)])
    next_steps(
        (f"leads labels remove {harm} {files[0].name}", "stop training on these labels"),
        (f"leads train {harm}", "train on the harm's labels"),
    )


def remove_file(settings: Settings, harm: str, name: str) -> None:
    """Remove an imported file.

    Raises:
        NotFound: the harm has no imported labels, or none of this name.
        InvalidInput: a stored file can't be read.
    """
    removed = remove(settings, harm, name)
    note(f"Removed {counted(removed.rows, 'row')} of {harm}: {FILE}{removed.name}. The next training doesn't use them.")
    if removed.origin.path:
        note(f"  [dim]They came from {escape(removed.origin.path)}, which stays as it is.[/dim]")
    next_steps(
        (f"leads train {harm}", "train without them"),
        ("leads labels list", "see which labels are left"),
    )


def print_conflicts(conflicts: Sequence[Conflict], *, most: int | None = None, rest: str = "") -> None:
    """Print texts that were imported with both labels, each as a short excerpt with the lines it stands on.

    Args:
        most: how many to print; None: all.
        rest: the command that shows all of them.
    """
    if not conflicts:
        return
    title = f"{counted(len(conflicts), 'text')} with both labels"
    caption = (
        "The newest label counts: the one with the latest time or, if a row has no time, the one from the file "
        "imported last. Among equally new rows the majority decides, or else the last row."
    )
    rows = [_conflict(one) for one in conflicts[:most]]
    console.print(table(title, _CONFLICT_COLUMNS, rows, caption=caption))
    if most is not None and len(conflicts) > most:
        note(f"  [dim]… and {len(conflicts) - most:,} more: {escape(rest)}[/dim]")


def day(at: clock.Micros | None) -> str:
    """A date, or a dash where there is none."""
    return "–" if at is None else clock.to_text(at)[:10]


def _row(file: LabelFile) -> tuple[str, ...]:
    return (
        file.harm,
        file.name,
        f"{file.rows:,}",
        f"{file.violating:,}",
        f"{file.violating / file.rows:.1%}" if file.rows else "–",
        day(file.first),
        day(file.last),
        minute(file.origin.imported_at),
        escape(file.origin.path) or "unknown",
    )


def _verdicts_row(one: AddedVerdicts) -> tuple[str, ...]:
    return (
        one.harm,
        escape(one.reviewer),
        f"{one.verdicts:,}",
        f"{one.violating:,}",
        f"{one.violating / one.verdicts:.1%}",
        day(one.first),
        day(one.last),
    )


def _counted(file: LabelFile, found: Observations) -> tuple[str, ...]:
    used = [row for row in found.rows if row.source == f"{FILE}{file.name}"]
    return (
        file.name,
        f"{file.rows:,}",
        f"{file.violating:,}",
        f"{len(used):,}",
        f"{sum(row.violating for row in used):,}",
        day(file.first),
        day(file.last),
        minute(file.origin.imported_at),
    )


def _origin(file: LabelFile) -> str:
    return f"from {file.origin.path}" if file.origin.path else "from a file that isn't known"


def _conflict(one: Conflict) -> tuple[str, ...]:
    kept = _verdict(violating=one.kept.violating)
    return escape(_excerpt(one.kept.text)), escape("; ".join(map(_place, one.rows))), kept


def _place(row: StoredLabel) -> str:
    line = "" if row.line is None else f" line {row.line}"
    id_ = "" if row.id is None else f" (id {_excerpt(row.id)})"
    at = "" if row.time is None else f" {minute(row.time)}"
    return f"{row.file}{line}{id_}{at}: {_verdict(violating=row.violating)}"


def _verdict(*, violating: bool) -> str:
    return "violating" if violating else "not violating"


def _excerpt(text: str) -> str:
    """The beginning of a text on one line, without characters that a terminal acts on."""
    line = "".join(character if character.isprintable() else " " for character in text)
    words = " ".join(line.split())
    return words if len(words) <= _EXCERPT else words[: _EXCERPT - 1] + "…"
