"""Building blocks of what commands print: tables, notes, next steps, progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import rich.markup
from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from leads import clock
from leads.clock import Micros
from leads.errors import InvalidInput, LeadsError
from leads.files import write_json
from leads.settings import Settings, without_effect
from serving.versions.published_state import is_followed


class _Console(Console):
    """A console on which no text can act on the terminal: what isn't printable is shown as Python writes it.

    Texts, names and ids come from files and from other people, who may have put escape sequences in them.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(_printable(text, keep="\n"), **options)


# Output to a pipe or a file is as wide as most terminals are.
console = _Console(highlight=False, width=None if sys.stdout.isatty() else 120)
errors = _Console(stderr=True, highlight=False)
# Where there is no terminal to draw on, progress is a line this often.
_LINE_EVERY_S = 5.0
# Between two columns of a table: a space on each side of where a line could be.
_BETWEEN = 3

OnProgress = Callable[[int, int], None]
OnStep = Callable[[str, int, int], None]


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
    wrapped: Sequence[str] = (),
    caption: str | None = None,
) -> Padding:
    """A table with a blank line above.

    Args:
        right: columns to align right. They and the first column are never wrapped. Others are, between words as long as
            that is enough.
        wrapped: columns that are aligned right, and wrapped like others.
        caption: explains the columns, below the table.
    """
    made = Table(
        title=title, title_justify="left", title_style="bold", caption=caption, caption_justify="left",
        caption_style="dim", header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False,
    )  # fmt: skip
    whole = [not i or (name in right and name not in wrapped) for i, name in enumerate(columns)]
    rows = list(rows)
    widths = _fitting([_measured(cells) for cells in zip_longest(columns, *rows, fillvalue="")], whole)
    for i, name in enumerate(columns):
        justify: JustifyMethod = "right" if name in right else "left"
        made.add_column(name, justify=justify, overflow="fold", no_wrap=whole[i], width=widths[i])
    for row in rows:
        made.add_row(*row)
    return Padding(made, (1, 0, 0, 0), expand=False)


def _measured(cells: Iterable[str]) -> tuple[int, int]:
    """The widths of a column's longest line and longest word."""
    texts = [console.render_str(cell).plain for cell in cells]
    lines = max(cell_len(line) for text in texts for line in text.split("\n"))
    return lines, max((cell_len(word) for text in texts for word in text.split()), default=0)


def _fitting(measured: Sequence[tuple[int, int]], whole: Sequence[bool]) -> list[int | None]:
    """The widths of columns, so that a table fits the console; None where a column may be as wide as its lines.

    Columns are narrowed first where there is a space to break a line at. Rich narrows the widest ones.
    """
    widths = [lines for lines, _ in measured]
    excess = sum(widths) + _BETWEEN * (len(widths) - 1) - console.width
    breakable = [i for i, is_whole in enumerate(whole) if not is_whole]
    if excess <= 0 or not breakable:
        return [None] * len(widths)
    for _ in range(excess):
        spare = [i for i in breakable if widths[i] > measured[i][1]] or breakable
        widest = max(spare, key=lambda i: widths[i])
        widths[widest] = max(widths[widest] - 1, 1)
    return [None if is_whole else width for width, is_whole in zip(widths, whole, strict=True)]


def escape(value: str) -> str:
    """A value within a line: no markup, and nothing that begins another line or acts on the terminal.

    >>> escape("[bold]a\\x1b[31m\\nb")
    '\\\\[bold]a\\\\x1b[31m\\\\nb'
    """
    return rich.markup.escape(_printable(value))


def described(error: LeadsError) -> str:
    """An error for people. What to do may take several lines, such as a text to paste."""
    said, remedy = escape(str(error)), error.remedy or ""
    return said.removesuffix(escape(remedy)) + rich.markup.escape(_printable(remedy, keep="\n"))


def _printable(text: str, keep: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(x if x.isprintable() or x in keep else x.encode("unicode_escape").decode() for x in text)


def minute(at: Micros) -> str:
    """
    >>> minute(0)
    '1970-01-01 00:00'
    """
    return clock.to_text(at)[:16].replace("T", " ")


def age(micros: Micros) -> str:
    """How long something lasted or waits, in one unit.

    >>> age(90 * clock.DAY), age(47 * clock.HOUR), age(90 * clock.MINUTE), age(0)
    ('90 d', '47 h', '1 h', '0 min')
    """
    if micros >= 2 * clock.DAY:
        return f"{micros // clock.DAY:,} d"
    return f"{micros // clock.HOUR} h" if micros >= clock.HOUR else f"{max(micros, 0) // clock.MINUTE} min"


def note(text: str) -> None:
    """Print a line, without wrapping it."""
    console.print(text, soft_wrap=True)


def warn_about_variables() -> None:
    """Print a warning for each `LEADS_…` variable that has no effect."""
    for text in without_effect():
        errors.print(f"[yellow]warning:[/yellow] {escape(text)}", soft_wrap=True)


def next_steps(*steps: tuple[str, str], settings: Settings | None = None) -> None:
    """Print what to do next: commands, and what each is for.

    Args:
        settings: leave out `leads serve` if it runs in their home.
    """
    if settings is not None and is_followed(settings.published_dir):
        steps = tuple(step for step in steps if step[0] != "leads serve")
    if not steps:
        return
    width = max(len(command) for command, _ in steps)
    console.print("\nNext:")
    for command, what in steps:
        console.print(f"  [bold]{command:<{width}}[/bold]  [dim]{what}[/dim]", soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[OnProgress]:
    """Show progress of one task. Yields a function to call with (done, total)."""
    with progress_by_step() as tell:
        yield partial(tell, what)


@contextmanager
def progress_by_step() -> Iterator[OnStep]:
    """Show progress of a task in several steps. Yields a function to call with (step, done, total)."""
    if not sys.stdout.isatty():
        yield _print_now_and_then()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda step, done, total: bar.update(task, description=step, completed=done, total=total)


@contextmanager
def working(what: str) -> Iterator[OnStep]:
    """Show that work without a known length goes on. Yields a function to call with (step, done, total)."""
    if not sys.stdout.isatty():
        tell = _print_now_and_then()
        yield lambda step, done, total: tell(f"{what}: {_numbered(step, done, total)}", 0, 1)
        return
    with console.status(what) as spinner:

        def update(step: str, done: int, total: int) -> None:
            spinner.update(f"{what}: {_numbered(step, done, total)}")

        yield update


def _numbered(step: str, done: int, total: int) -> str:
    return f"{step} ({min(done + 1, total)} of {total})" if total > 1 else step


def _print_now_and_then() -> OnStep:
    last = time.monotonic()

    def tell(step: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S and done < total:
            last = time.monotonic()
            of = f": {done:,} of {total:,}" if total > 1 else ""
            console.print(f"  [dim]{step}{of}[/dim]", soft_wrap=True)

    return tell


def print_json(document: bytes) -> None:
    """Print a document as it is, for programs."""
    sys.stdout.write(document.decode() + "\n")


@contextmanager
def json_output(path: Path | None) -> Iterator[Callable[[Any], None]]:
    """For an option `--json PATH`, where `-` is standard output: nothing else is printed to it then.

    Yields a function that writes the document, if there is a path.

    Raises:
        InvalidInput: the folder of the path doesn't exist.
    """
    to_stdout = str(path) == "-"
    if path is not None and not path.parent.is_dir():
        raise InvalidInput(f"{path.parent} is not a folder.", field="--json", remedy="Create it first.")

    def write(document: Any) -> None:
        if to_stdout:
            print_json(msgspec.json.format(msgspec.json.encode(document), indent=2))
        elif path is not None:
            write_json(path, document)

    before = console.quiet
    console.quiet = before or to_stdout
    try:
        yield write
    finally:
        console.quiet = before
