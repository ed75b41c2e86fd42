"""What the command line shows: tables, panels and progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

# Piped into a file or a log, tables are as wide as most screens are.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
errors = Console(stderr=True, highlight=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """A table; columns named in `right` are aligned right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="dim", expand=False)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def next_steps(*steps: tuple[str, str]) -> None:
    """What to do next, each with its command."""
    width = max(len(command) for command, _ in steps)
    console.print()
    for command, what in steps:
        console.print(f"  [bold]{command:<{width}}[/bold]  [dim]{what}[/dim]", soft_wrap=True)


def note(text: str) -> None:
    console.print(text, soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line every few seconds elsewhere. Yields what to call with (done, total)."""
    if sys.stdout.isatty():
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 5 and done < total:
            last = time.monotonic()
            console.print(f"  {what}: {done:,} of {total:,}")

    yield tell
