"""What every benchmark prints and writes: a table on the screen, and the same rows as JSON for other programs."""

from __future__ import annotations

import argparse
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leads.errors import LeadsError, Unavailable

REPOSITORY = Path(__file__).resolve().parents[1]
console = Console()

T = TypeVar("T")


class Measure(msgspec.Struct, frozen=True):
    """One measured value.

    Args:
        value: None when it could not be measured.
        bar: the limit for the value, in words (`≥ -0.01`); empty when there is no limit.
        holds: whether the value is within the limit; None without a limit, False when it could not be measured.
    """

    name: str
    value: float | None
    unit: str
    bar: str = ""
    holds: bool | None = None


def at_least(name: str, value: float, unit: str, bar: float) -> Measure:
    """A measure that must not be below its bar. NaN is below any bar."""
    return Measure(name, value, unit, f"≥ {bar:g}", value >= bar)


def at_most(name: str, value: float, unit: str, bar: float) -> Measure:
    """A measure that must not be above its bar. NaN is above any bar."""
    return Measure(name, value, unit, f"≤ {bar:g}", value <= bar)


def measured(
    name: str,
    unit: str,
    value: Callable[[], float],
    *,
    least: float | None = None,
    most: float | None = None,
) -> Measure:
    """A measure with an optional bar; without a value when `value` raises Unavailable, because what it needs failed."""
    try:
        found = value()
    except Unavailable:
        limit, sign = (least, "≥") if least is not None else (most, "≤")
        return unmeasured(name, unit, "" if limit is None else f"{sign} {limit:g}")
    if least is not None:
        return at_least(name, found, unit, least)
    return Measure(name, found, unit) if most is None else at_most(name, found, unit, most)


def unmeasured(name: str, unit: str = "", bar: str = "") -> Measure:
    """The row of something that could not be measured."""
    return Measure(name, None, unit, bar, False)


class Report:
    """Collects the measures of a benchmark. A part that fails becomes a row, and the other parts still run.

    Args:
        json: where the measures are written, after each part and at the end.
    """

    def __init__(self, title: str, json: Path | None = None) -> None:
        self.measures: list[Measure] = []
        self.failures: list[str] = []
        self._title = title
        self._json = json

    def add(self, measures: Sequence[Measure]) -> None:
        """Add rows."""
        self.measures += measures

    def part(self, name: str, work: Callable[[], Sequence[Measure]]) -> None:
        """Add what `work` measures, or a row that says that this part failed. What there is so far is written."""
        self.add(self.attempt(name, work) or ())
        self._write()

    def attempt(self, name: str, work: Callable[[], T]) -> T | None:
        """Do the work; when it raises, add a row that says so and return None."""
        try:
            return work()
        except LeadsError as error:
            self.fail(name, str(error))
        except Exception as error:
            # Not an error that this project words itself, so the reason alone may not be enough to find it.
            console.print(traceback.format_exc(), markup=False, highlight=False)
            self.fail(name, f"{type(error).__name__}: {error}")
        return None

    def fail(self, name: str, reason: str) -> None:
        """Add the row of a part that failed, and print why."""
        self.add([unmeasured(name)])
        self.failures.append(f"{name}: {reason}")
        console.print(f"[red]Failed:[/red] {escape(self.failures[-1])}")

    def finish(self) -> int:
        """Print the table, write the JSON; returns the exit code: 1 when a part failed or a bar doesn't hold."""
        console.print(_table(self._title, self.measures))
        for failure in self.failures:
            console.print(f"[red]Failed:[/red] {escape(failure)}")
        self._write()
        return int(any(measure.holds is False for measure in self.measures))

    def _write(self) -> None:
        if self._json is not None:
            write_json(self.measures, self._json)


def say(what: str) -> None:
    """Print what is being done now on standard error."""
    print(what, file=sys.stderr, flush=True)


def arguments(what: str) -> argparse.Namespace:
    """Parse `--quick` and `--json PATH`, which every benchmark takes."""
    return parser(what).parse_args()


def parser(what: str) -> argparse.ArgumentParser:
    """The same for a benchmark with more options."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and less data")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the measures to this file")
    return parser


def write_json(measures: Sequence[Measure], path: Path) -> None:
    """A list of {name, value, unit, bar, holds}; a value that could not be measured is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(measures)), indent=2))


def read_json(path: Path) -> list[Measure]:
    """What `write_json` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=list[Measure])


def value_text(measure: Measure) -> str:
    """The value as tables show it.

    >>> value_text(Measure("rate", 12345.6, "rows/s")), value_text(unmeasured("time"))
    ('12,346', 'failed')
    """
    if measure.value is None or math.isnan(measure.value):
        return "failed"
    return format(measure.value, ",.0f" if abs(measure.value) >= 1_000 else ".4g")


def _table(title: str, measures: Sequence[Measure]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("measure", "value", "unit", "bar", "within bar"):
        table.add_column(name, justify="right" if name == "value" else "left")
    verdicts = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}
    for measure in measures:
        table.add_row(escape(measure.name), value_text(measure), measure.unit, measure.bar, verdicts[measure.holds])
    return table
