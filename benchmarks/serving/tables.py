"""The tables: what each system did under each load, where the service's time goes, and what is held to a bar."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.table import Table

from benchmarks.report import Measure, at_least, at_most
from benchmarks.serving.rounds import Results
from benchmarks.serving.stages import WHOLE, us_per_request
from benchmarks.serving.systems.peer import Pair
from benchmarks.serving.systems.systems import Cell, Outcome
from benchmarks.serving.world import console

_STAGE_SIZES = (1, 100)
_RSS_BAR_MB = 700.0
FLOOR = "floor"


class Grid(NamedTuple):
    """A table: a head, and rows of as many texts."""

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
        """As docs hold it."""
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        return f"{self.title}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def grids(results: Results) -> list[Grid]:
    """Every table of a run."""
    found = [
        _by_load(results, "Milliseconds, p50 / p99", lambda cell, x: f"{_short(x.p50)} / {_short(x.p99)}"),
        _by_load(results, "Requests/s (items/s)", _rates),
        _processor(results),
    ]
    stages = _stages(results)
    return [*found, stages] if stages.rows else found


def measures_of(results: Results) -> list[Measure]:
    """What has a bar, and what it is made of."""
    one, hundred, many = Cell(1, 1, 1), Cell(100, 1, 1), Cell(1, 16, 1)
    ours, pair = results.outcomes["Redis"], results.outcomes[Pair.name]
    cpu, floor = ours[hundred].cpu_per_item_s(100), results.floor_per_item_s(hundred)
    measures = [
        Measure("1 item, 1 harm, Redis: p50", ours[one].p50, "ms"),
        at_least("… times faster than Feast + MLflow", _faster(pair[one], ours[one]), "ratio", 10.0),
        Measure("100 items, 1 harm, Redis: p50", ours[hundred].p50, "ms"),
        at_least("… times faster than Feast + MLflow", _faster(pair[hundred], ours[hundred]), "ratio", 15.0),
        Measure("… processor time per 1,000 items", cpu * 1_000, "s"),
        at_most("… over the floor's", cpu / floor, "ratio", 2.5),
        Measure("1 item, 16 connections, Redis", ours[many].requests_per_s, "requests/s"),
        at_least("… over Feast + MLflow's", _rate(ours[many], pair[many]), "ratio", 10.0),
    ]
    for name, (rss, pss) in results.memory_mb.items():
        # Threads that map one file are each counted its pages in RSS.
        mapped = name == "SQLite"
        judged, what = (pss, "PSS") if mapped else (rss, "RSS")
        measures.append(at_most(f"memory of a worker with 5 harms, {name}, {what}", judged, "MB", _RSS_BAR_MB))
        if mapped:
            measures.append(Measure(f"memory of a worker with 5 harms, {name}, RSS", rss, "MB"))
    return measures


def _faster(slow: Outcome, fast: Outcome) -> float:
    return statistics.median(a / b for a, b in zip(slow.p50_ms, fast.p50_ms, strict=True))


def _rate(more: Outcome, less: Outcome) -> float:
    return statistics.median(a / b for a, b in zip(more.per_s, less.per_s, strict=True))


def _by_load(results: Results, title: str, text: Callable[[Cell, Outcome], str]) -> Grid:
    """A row per system, harms and connections, a column per size."""
    cells = results.cells
    sizes = sorted({cell.items for cell in cells})
    rows = []
    for connections, harms in dict.fromkeys((cell.connections, cell.harms) for cell in cells):
        for name, outcomes in results.outcomes.items():
            found = [Cell(n, connections, harms) for n in sizes]
            rows.append((name, str(connections), str(harms), *(text(cell, outcomes[cell]) for cell in found)))
    for connections, outcome in results.noop.items():
        cell = Cell(1, connections, 1)
        rows.append(("no-op route", str(connections), "", text(cell, outcome), *[""] * (len(sizes) - 1)))
    return Grid(title, ("system", "connections", "harms", *_sizes(sizes)), rows)


def _rates(cell: Cell, outcome: Outcome) -> str:
    per_s = outcome.requests_per_s
    return _short(per_s) if cell.items == 1 else f"{_short(per_s)} ({_short(per_s * cell.items)})"


def _processor(results: Results) -> Grid:
    """Seconds per 1,000 items, on one connection."""
    cells = [cell for cell in results.cells if cell.connections == 1]
    sizes, rows = sorted({cell.items for cell in cells}), []
    for harms in dict.fromkeys(cell.harms for cell in cells):
        found = [Cell(n, 1, harms) for n in sizes]
        for name, outcomes in results.outcomes.items():
            seconds = [outcomes[cell].cpu_per_item_s(cell.items) * 1_000 for cell in found]
            rows.append((name, str(harms), *map(_short, seconds)))
        rows.append((FLOOR, str(harms), *(_short(results.floor_per_item_s(cell) * 1_000) for cell in found)))
    return Grid("Seconds of the servers' processor time per 1,000 items", ("system", "harms", *_sizes(sizes)), rows)


def _stages(results: Results) -> Grid:
    """µs of a request by stage, on one connection, under one harm; no rows where the service measures none."""
    at = [(name, Cell(n, 1, 1)) for name in results.outcomes for n in _STAGE_SIZES]
    found = [(name, cell, results.outcomes[name][cell]) for name, cell in at if cell in results.outcomes[name]]
    found = [one for one in found if one[2].stages]
    columns = [us_per_request(outcome.stages, outcome.requests) for _, _, outcome in found]
    stages = dict.fromkeys(stage for column in columns for stage in column if stage != WHOLE)
    rows = [(stage, *(f"{column.get(stage, 0.0):,.0f}" for column in columns)) for stage in (*stages, WHOLE)]
    rows.append(("seen by the client, p50", *(f"{outcome.p50 * 1_000:,.0f}" for _, _, outcome in found)))
    head = ("stage", *(f"{name}, {_sizes([cell.items])[0]}" for name, cell, _ in found))
    return Grid("Where the time of a request goes, µs", head, rows if columns else [])


def _sizes(sizes: Sequence[int]) -> list[str]:
    return [f"{n:,} item{'s' if n > 1 else ''}" for n in sizes]


def _short(value: float) -> str:
    """Three figures.

    >>> _short(1234.5), _short(12.345), _short(0.01234)
    ('1,234', '12.3', '0.0123')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
