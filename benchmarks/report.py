"""What every benchmark prints and writes: a table on the screen, and JSON for whoever compares."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]


class Measure(msgspec.Struct, frozen=True):
    """One measured value.

    Args:
        bar: what it is held to, in words (`≥ -0.01`); empty where nothing is asked of it.
        holds: whether the bar is met; None without one.
    """

    name: str
    value: float
    unit: str
    bar: str = ""
    holds: bool | None = None


def at_least(name: str, value: float, unit: str, bar: float) -> Measure:
    """A measure that must not be below its bar."""
    return Measure(name, value, unit, f"≥ {bar:g}", value >= bar)


def at_most(name: str, value: float, unit: str, bar: float) -> Measure:
    """A measure that must not be above its bar."""
    return Measure(name, value, unit, f"≤ {bar:g}", value <= bar)


def arguments(what: str) -> argparse.Namespace:
    """`--quick` and `--json PATH`, as every benchmark takes them."""
    return parser(what).parse_args()


def parser(what: str) -> argparse.ArgumentParser:
    """For a benchmark that takes more."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the measures there")
    return parser


def report(title: str, measures: Sequence[Measure], json: Path | None) -> int:
    """Print the table, write the JSON; returns the exit code: 1 when a bar doesn't hold."""
    table = Table(title=title, title_justify="left")
    for name in ("measure", "value", "unit", "bar", "holds"):
        table.add_column(name, justify="right" if name == "value" else "left")
    verdicts = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}
    for measure in measures:
        table.add_row(measure.name, f"{measure.value:.4g}", measure.unit, measure.bar, verdicts[measure.holds])
    Console().print(table)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_bytes(msgspec.json.format(msgspec.json.encode(list(measures)), indent=2))
    return int(any(measure.holds is False for measure in measures))
