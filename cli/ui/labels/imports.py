"""Importing labels from a file of the user's own."""

from __future__ import annotations

from pathlib import Path

from cli.ui.labels.files import day, print_conflicts
from cli.ui.terminal import console, escape, next_steps, note, progress, table
from leads.policies import Policies
from leads.settings import Settings
from training.data.own_labels import Columns, Imported, import_labels

_COLUMNS = (
    "rows",
    "violating",
    "share",
    "duplicates",
    "known before",
    "without text",
    "without label",
    "from",
    "to",
)
# Conflicts shown after an import.
_MOST = 20
_CAPTION = "Duplicates: rows whose text an earlier row has. Known before: texts that were imported with the same label."


def import_file(
    settings: Settings,
    policies: Policies,
    harm: str,
    path: Path,
    columns: Columns,
    *,
    name: str | None = None,
    replace: bool = False,
) -> Imported:
    """Import a file's labels, then show what was imported, what was skipped, and which labels conflict.

    Raises:
        NotFound, Conflict, InvalidInput: as `import_labels`.
    """
    with progress("bytes read") as tell:
        made = import_labels(settings, policies, harm, path, columns, name=name, replace=replace, on_progress=tell)
    title = f"Labels for {harm} from {path.name}"
    console.print(table(escape(title), _COLUMNS, [_row(made)], right=_COLUMNS[:7], caption=_CAPTION))
    for line in _notes(made):
        note(f"  [dim]{escape(line)}[/dim]")
    print_conflicts(made.conflicts, most=_MOST, rest=f"leads labels show {harm} {made.name}")
    note(f"  [dim]To stop training on these labels: leads labels remove {harm} {made.name}[/dim]")
    return made


def say_next(settings: Settings, harm: str) -> None:
    """What to do after an import without a training."""
    encoder = ("leads encoder train", "first fine-tune an encoder on the labels of all harms")
    next_steps(
        *([encoder] if settings.encoder in ("auto", "tuned") else ()),
        (f"leads train {harm}", "train on them, together with decisions and corpora"),
        ("leads labels list", "see all labels that were imported"),
    )


def _row(made: Imported) -> tuple[str, ...]:
    return (
        f"{made.rows:,}",
        f"{made.violating:,}",
        f"{made.violating / made.rows:.1%}",
        f"{made.duplicates:,}",
        f"{made.known:,}",
        f"{made.without_text:,}",
        f"{made.without_label:,}",
        day(made.first),
        day(made.last),
    )


def _notes(made: Imported) -> list[str]:
    replaced = ", replacing earlier labels of the same name" if made.replaced else ""
    said = [f"Imported as file:{made.name} to {made.path}{replaced}."]
    if made.unchanged:
        said = [f"The same file was imported before as file:{made.name}, so nothing changed."]
    if made.violating in (0, made.rows):
        said.append(
            "All rows have the same label. Training needs both; other files or decisions may have the other one."
        )
    if made.without_text or made.without_label:
        said.append("Rows without text or label were skipped.")
    if made.duplicates or made.known:
        said.append("A text counts once, however many rows and files repeat it.")
    if made.first is None:
        said.append("There are no timestamps, so the held-out rows are drawn at random instead of being the latest.")
    elif made.without_time:
        rows = "1 row has" if made.without_time == 1 else f"{made.without_time:,} rows have"
        said.append(f"{rows} no timestamp, so the held-out rows are drawn at random.")
    elif made.first == made.last:
        said.append("All rows have the same time, so the held-out rows are drawn at random.")
    return said
