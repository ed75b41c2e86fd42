"""Writes a run into docs/scale.md: what was measured, the chart, and what that means for a much larger platform."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.pages import Grid, measured_grid, write_part
from benchmarks.report import REPOSITORY, Measure
from benchmarks.scale.docs.extrapolation import extrapolated, found_in
from benchmarks.scale.docs.tables import assumptions_grid, estimates_grid, sizes_grid

DOCS = REPOSITORY / "docs" / "scale.md"
CHART = REPOSITORY / "docs" / "images" / "scale.svg"
MEASURED, ESTIMATED = "measured", "estimated"
_OF_QUICK = (
    "**From a `--quick` run on a shared machine.** It has at most a hundredth of the items and events, so fixed costs "
    "and\nnoise distort its exponents. A run without `--quick` replaces these tables."
)
# Rows of a table are those whose names have this text; the last table has the rest.
_TABLES = {"Event log": " events: ", "Generated items": " items: ", "Queue": " leads: "}


def write_docs(measures: Sequence[Measure], path: Path = DOCS, *, quick: bool) -> None:
    """Fill the page's two parts.

    Raises:
        Unavailable: a measure is missing that the estimates rest on. Nothing was written.
    """
    found = found_in(measures)
    note = f"{_OF_QUICK}\n\n" if quick else ""
    write_part(path, MEASURED, note + "\n".join(grid.markdown() for grid in _tables(measures)))
    tables = [assumptions_grid(), estimates_grid(extrapolated(found)), sizes_grid(found)]
    write_part(path, ESTIMATED, note + "\n".join(grid.markdown() for grid in tables))


def _tables(measures: Sequence[Measure]) -> list[Grid]:
    parts: dict[str, list[Measure]] = {title: [] for title in (*_TABLES, "Growth and other values")}
    *_, other = parts
    for measure in measures:
        parts[next((title for title, text in _TABLES.items() if text in measure.name), other)].append(measure)
    return [measured_grid(title, rows) for title, rows in parts.items() if rows]
