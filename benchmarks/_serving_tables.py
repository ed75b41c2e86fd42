"""The tables: systems by load, and where the service's time goes."""

from __future__ import annotations

from rich.table import Table

from benchmarks._report import Measure, at_most
from benchmarks._serving_rounds import Results
from benchmarks._serving_stages import WHOLE, us_per_request
from benchmarks._serving_systems import Cell, Outcome
from benchmarks._serving_world import console

Rows = list[tuple[str, ...]]
_HEAD = ("system", "items", "conn.", "harms", "p50 ms", "p99 ms", "requests/s", "items/s", "CPU s / 1,000 items")
_STAGE_SIZES = (1, 100)
_RSS_BAR_MB = 700.0


def show(results: Results) -> None:
    """Print both tables."""
    for title, (head, *rows) in (("Load", load_rows(results)), ("Where time goes", stage_rows(results))):
        if not rows:
            continue
        table = Table(title=title, title_justify="left")
        for i, name in enumerate(head):
            table.add_column(name, justify="right" if i else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def load_rows(results: Results) -> Rows:
    """A head and a row per system and cell."""
    rows: Rows = [_HEAD]
    for cell in next(iter(results.outcomes.values())):
        for name, outcomes in results.outcomes.items():
            rows.append(_load_row(name, cell, outcomes[cell]))
        rows.append((*_cell_row("floor, in process", cell), *[""] * 4, f"{results.floor_cpu_s[cell] * 1_000:.3g}"))
    for connections, outcome in results.noop.items():
        rows.append(_load_row("no-op route", Cell(1, connections, 1), outcome))
    return rows


def stage_rows(results: Results) -> Rows:
    """A head and a row per stage: µs per request on one connection, under one harm."""
    cells = [Cell(n, 1, 1) for n in _STAGE_SIZES]
    columns = [
        us_per_request(outcomes[cell].stages, outcomes[cell].requests)
        for outcomes in results.outcomes.values()
        for cell in cells
        if cell in outcomes and outcomes[cell].stages
    ]
    names = [name for name, outcomes in results.outcomes.items() if outcomes[cells[0]].stages]
    head = ("stage, µs a request", *(f"{name}, {cell.items}" for name in names for cell in cells))
    stages = [stage for stage in dict.fromkeys(stage for column in columns for stage in column) if stage != WHOLE]
    rows: Rows = [head]
    for stage in (*stages, WHOLE) if columns else ():
        rows.append((stage, *(f"{column.get(stage, 0.0):,.0f}" for column in columns)))
    if columns:
        medians = [results.outcomes[name][cell].p50 * 1_000 for name in names for cell in cells]
        rows.append(("seen by the client, p50", *(f"{value:,.0f}" for value in medians)))
    return rows


def measures_of(results: Results) -> list[Measure]:
    """What has a bar."""
    measures = []
    cell = Cell(100, 1, 1)
    ours, floor = results.outcomes["Redis"][cell].cpu_per_item_s(100), results.floor_per_item_s(cell)
    measures += [
        Measure("Redis, 1 item, 1 harm: p50", results.outcomes["Redis"][Cell(1, 1, 1)].p50, "ms"),
        Measure("Redis, 100 items, 1 harm: p50", results.outcomes["Redis"][cell].p50, "ms"),
        Measure("100 items: CPU per 1,000 items", ours * 1_000, "s"),
        Measure("100 items: the floor's CPU per 1,000 items", floor * 1_000, "s"),
        at_most("100 items: CPU / floor", ours / floor, "ratio", 2.5),
    ]
    for name, rss_mb in results.rss_mb.items():
        measures.append(at_most(f"{name}: resident memory of a worker, 5 harms", rss_mb, "MB", _RSS_BAR_MB))
    return measures


def _load_row(name: str, cell: Cell, outcome: Outcome) -> tuple[str, ...]:
    numbers = (outcome.p50, outcome.p99, outcome.requests_per_s, outcome.requests_per_s * cell.items)
    cpu = outcome.cpu_per_item_s(cell.items) * 1_000
    return (*_cell_row(name, cell), *(f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in numbers), f"{cpu:.3g}")


def _cell_row(name: str, cell: Cell) -> tuple[str, ...]:
    return name, f"{cell.items:,}", str(cell.connections), str(cell.harms)
