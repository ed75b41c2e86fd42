"""Writes the tables of a run into docs/benchmarks.md, between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.pages import Grid, measured_grid, write_part
from benchmarks.report import REPOSITORY, Measure

DOCS = REPOSITORY / "docs" / "benchmarks.md"
PART = "serving"


def write_docs(grids: Sequence[Grid], measures: Sequence[Measure], path: Path = DOCS) -> None:
    """Put the tables between the page's markers."""
    tables = [measured_grid("Values, and their bars", measures), *grids]
    write_part(path, PART, "\n".join(grid.markdown() for grid in tables))
