"""Tables of texts, and the parts of the docs' pages that runs of benchmarks write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from benchmarks.report import Measure, console, value_text
from leads.files import write_atomic


class Grid(NamedTuple):
    """A table of texts with its column headings."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def show(self) -> None:
        """Print it."""
        table = Table(title=self.title, title_justify="left")
        for i, name in enumerate(self.head):
            table.add_column(name, justify="right" if i else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """As Markdown, for the docs."""
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        return f"{self.title}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def measured_grid(title: str, measures: Sequence[Measure]) -> Grid:
    """A row per measure, with its bar and whether it holds."""
    verdicts = {True: "yes", False: "**no**", None: ""}
    rows = [(x.name, f"{value_text(x)} {x.unit}".rstrip(), x.bar, verdicts[x.holds]) for x in measures]
    return Grid(title, ("measure", "value", "bar", "within bar"), rows)


def write_part(page: Path, name: str, text: str) -> None:
    """Put a text between the page's markers of this name; a page without them gets them at its end."""
    begin, end = markers(name)
    whole = page.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        whole = f"{whole.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = whole.partition(begin)
    _, _, after = rest.partition(end)
    written = f"{before}{begin}\n{text}{end}{after}"
    write_atomic(page, lambda draft: draft.write_text(written, encoding="utf-8"))


def markers(name: str) -> tuple[str, str]:
    """The comments around a part of a page.

    >>> markers("serving")
    ('<!-- serving:begin -->', '<!-- serving:end -->')
    """
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
