"""Writes the tables of a run into docs/benchmarks.md, between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import REPOSITORY, Measure, value_text
from benchmarks.serving.tables import Grid
from leads.files import write_atomic

DOCS = REPOSITORY / "docs" / "benchmarks.md"
BEGIN, END = "<!-- serving:begin -->", "<!-- serving:end -->"


def write_docs(grids: Sequence[Grid], measures: Sequence[Measure], path: Path = DOCS) -> None:
    """Put the tables between the markers; a page without markers gets them at its end."""
    page = path.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n".join([_bars(measures), *(grid.markdown() for grid in grids)])
    text = f"{before}{BEGIN}\n{tables}{END}{after}"
    write_atomic(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def _bars(measures: Sequence[Measure]) -> str:
    verdicts = {True: "yes", False: "**no**", None: ""}
    rows = [(x.name, f"{value_text(x, ',.4g')} {x.unit}", x.bar, verdicts[x.holds]) for x in measures]
    return Grid("Values, and their bars", ("measure", "value", "bar", "within bar"), rows).markdown()
