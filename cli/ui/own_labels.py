"""Importing labels from a file of the user's own."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from cli.ui.terminal import console, next_steps, note, progress, table
from leads import clock
from leads.policies import Policies
from leads.settings import Settings
from training.data.own_labels import Columns, Imported, import_labels

_COLUMNS = ("rows", "violating", "share", "duplicates", "without text", "without label", "from", "to")


def import_file(
    settings: Settings,
    policies: Policies,
    harm: str,
    path: Path,
    columns: Columns,
    *,
    name: str | None = None,
    delimiter: str | None = None,
    quiet: bool = False,
) -> Imported:
    """Import a file's labels, then show what was imported and what was skipped.

    Raises:
        NotFound, InvalidInput: as `import_labels`.
    """
    with progress("bytes read") as tell:
        made = import_labels(settings, policies, harm, path, columns, name=name, delimiter=delimiter, on_progress=tell)
    title = f"Labels for {harm} from {path.name}"
    console.print(table(escape(title), _COLUMNS, [_row(made)], right=_COLUMNS[:6]))
    for line in _notes(made):
        note(f"  [dim]{escape(line)}[/dim]")
    if not quiet:
        next_steps(
            (f"leads train {harm}", "train on them, together with decisions and corpora"),
            (f"rm '{made.path}'", "stop training on them"),
        )
    return made


def _row(made: Imported) -> tuple[str, ...]:
    return (
        f"{made.rows:,}",
        f"{made.violating:,}",
        f"{made.violating / made.rows:.1%}",
        f"{made.duplicates:,}",
        f"{made.without_text:,}",
        f"{made.without_label:,}",
        _day(made.first),
        _day(made.last),
    )


def _notes(made: Imported) -> list[str]:
    replaced = ", replacing earlier labels of the same name" if made.replaced else ""
    said = [f"Imported as file:{made.name} to {made.path}{replaced}."]
    if made.without_text or made.without_label:
        said.append("Rows without text or label were skipped.")
    if made.duplicates:
        said.append("Duplicates of a text count as one row, with the most frequent label.")
    if made.without_time:
        said.append(f"{made.without_time:,} rows have no timestamp, so the held-out rows are drawn at random.")
    if made.first is None:
        said.append("There are no timestamps, so the held-out rows are drawn at random instead of being the latest.")
    return said


def _day(at: clock.Micros | None) -> str:
    return "–" if at is None else clock.to_text(at)[:10]
