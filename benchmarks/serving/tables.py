"""The tables: each system under each load, where the service's time goes, and the values with a bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.pages import Grid
from benchmarks.report import Measure, measured
from benchmarks.serving.cells import FLOOR, NOOP, PRODUCTION, REDIS, SQLITE, Cell, Outcome, Results
from benchmarks.serving.stages import WHOLE, us_per_request
from benchmarks.serving.systems.peer import Pair
from benchmarks.timing import median_ratio
from leads.errors import Unavailable
from leads.messages.wording import short_number

_STAGE_SIZES = (1, 100)
_MEMORY_BAR_MB = 400.0
# Of the processor time that no service can avoid.
_OF_FLOOR = 1.3


def grids(results: Results) -> list[Grid]:
    """Every table of a run."""
    found = [
        _by_load(results, "Milliseconds, p50 / p99", lambda cell, x: f"{short_number(x.p50)} / {short_number(x.p99)}"),
        _by_load(results, "Requests/s (items/s)", _rates),
        _processor(results),
    ]
    stages = _stages(results)
    return [*found, stages] if stages.rows else found


def measures_of(results: Results) -> list[Measure]:
    """The values with a bar, and those they are made of."""
    one, hundred, many = Cell(1, 1, 1), Cell(100, 1, 1), Cell(1, 16, 1)
    redis, sqlite, production, pair, noop = (
        partial(results.outcome, name) for name in (REDIS, SQLITE, PRODUCTION, Pair.name, NOOP)
    )

    def cpu() -> float:
        return redis(hundred).cpu_per_item_s(100)

    def faster(cell: Cell) -> float:
        return median_ratio(pair(cell).p50_ms, redis(cell).p50_ms)

    def of_sqlite(cell: Cell) -> float:
        return median_ratio(production(cell).p50_ms, sqlite(cell).p50_ms)

    def of_floor() -> float:
        return cpu() / results.floor_per_item_s(hundred)

    def least() -> float:
        """How many times faster 100 items must be: less if hardly any work is left that could be saved."""
        try:
            return 13.0 if of_floor() <= _OF_FLOOR else 15.0
        except Unavailable:
            return 15.0

    def throughput() -> float:
        return median_ratio(redis(many).per_s, pair(many).per_s)

    single, batch, busy = "1 item, 1 harm", "100 items, 1 harm", "1 item, 1 harm, 16 connections"
    peer = Pair.name
    return [
        measured(f"{single}, {REDIS}: p50", "ms", lambda: redis(one).p50),
        measured(f"{single}, {SQLITE}: p50", "ms", lambda: sqlite(one).p50),
        measured(f"{single}, {PRODUCTION}: p50", "ms", lambda: production(one).p50),
        measured(f"{single}, {REDIS}: times faster than {peer}", "ratio", lambda: faster(one), least=11.0),
        measured(f"{single}, {SQLITE}: p50 minus {NOOP}'s", "ms", lambda: sqlite(one).p50 - noop(one).p50, most=0.45),
        measured(f"{single}, {PRODUCTION}: p50 / {SQLITE}'s", "ratio", lambda: of_sqlite(one), most=1.2),
        measured(f"{batch}, {REDIS}: p50", "ms", lambda: redis(hundred).p50),
        measured(f"{batch}, {SQLITE}: p50", "ms", lambda: sqlite(hundred).p50),
        measured(f"{batch}, {PRODUCTION}: p50", "ms", lambda: production(hundred).p50),
        measured(f"{batch}, {REDIS}: times faster than {peer}", "ratio", lambda: faster(hundred), least=least()),
        measured(f"{batch}, {PRODUCTION}: p50 / {SQLITE}'s", "ratio", lambda: of_sqlite(hundred), most=1.2),
        measured(f"{batch}, {REDIS}: processor time per 1,000 items", "s", lambda: cpu() * 1_000),
        measured(f"{batch}, {REDIS}: processor time / floor's", "ratio", of_floor, most=_OF_FLOOR),
        measured(f"{busy}, {REDIS}: throughput", "requests/s", lambda: redis(many).requests_per_s),
        measured(f"{busy}, {REDIS}: throughput / {peer}'s", "ratio", throughput, least=12.0),
        *_memory(results),
    ]


def _memory(results: Results) -> list[Measure]:
    """Memory of an API process. With SQLite, each thread maps the database; RSS counts each map, so PSS has the bar."""
    name = "memory of an API process with 5 harms"
    redis, sqlite = (partial(results.memory_of, x) for x in (REDIS, SQLITE))
    return [
        measured(f"{name}, {REDIS}, PSS", "MB", lambda: redis().pss_mb, most=_MEMORY_BAR_MB),
        measured(f"{name}, {REDIS}, RSS", "MB", lambda: redis().rss_mb),
        measured(f"{name}, {SQLITE}, PSS", "MB", lambda: sqlite().pss_mb, most=_MEMORY_BAR_MB),
        measured(f"{name}, {SQLITE}, RSS", "MB", lambda: sqlite().rss_mb),
    ]


def _value(text: Callable[[], str]) -> str:
    """The text of a table's cell."""
    try:
        return text()
    except Unavailable:
        return "failed"


def _by_load(results: Results, title: str, text: Callable[[Cell, Outcome], str]) -> Grid:
    """A row per system, harms and connections, a column per size."""
    sizes = sorted({cell.items for cell in results.cells})
    rows = []

    def shown(name: str, cell: Cell) -> str:
        return _value(lambda: text(cell, results.outcome(name, cell)))

    for connections, harms in dict.fromkeys((cell.connections, cell.harms) for cell in results.cells):
        for name in results.systems:
            cells = [Cell(n, connections, harms) for n in sizes]
            rows.append((_system(name), str(connections), str(harms), *(shown(name, cell) for cell in cells)))
    for cell in results.noop_cells:
        rows.append((NOOP, str(cell.connections), "", shown(NOOP, cell), *[""] * (len(sizes) - 1)))
    return Grid(title, ("system", "connections", "harms", *_sizes(sizes)), rows)


def _rates(cell: Cell, outcome: Outcome) -> str:
    per_s = outcome.requests_per_s
    return short_number(per_s) if cell.items == 1 else f"{short_number(per_s)} ({short_number(per_s * cell.items)})"


def _processor(results: Results) -> Grid:
    """Seconds per 1,000 items, on one connection."""
    cells = [cell for cell in results.cells if cell.connections == 1]
    sizes, rows = sorted({cell.items for cell in cells}), []

    def seconds(name: str, cell: Cell) -> float:
        if name == FLOOR:
            return results.floor_per_item_s(cell) * 1_000
        return results.outcome(name, cell).cpu_per_item_s(cell.items) * 1_000

    def shown(name: str, cell: Cell) -> str:
        return _value(lambda: short_number(seconds(name, cell)))

    for harms in dict.fromkeys(cell.harms for cell in cells):
        for name in (*results.systems, FLOOR):
            rows.append((_system(name), str(harms), *(shown(name, Cell(n, 1, harms)) for n in sizes)))
    return Grid("Seconds of the servers' processor time per 1,000 items", ("system", "harms", *_sizes(sizes)), rows)


def _stages(results: Results) -> Grid:
    """µs of a request by stage, on one connection, under one harm; no rows when no system reports stages."""
    at = [(name, Cell(n, 1, 1)) for name in results.systems for n in _STAGE_SIZES]
    at = [(name, cell) for name, cell in at if cell in results.cells and name not in results.failures]
    found = [(name, cell, outcome) for name, cell in at if (outcome := results.collected(name, cell)).stages]
    columns = [us_per_request(outcome.stages, outcome.requests) for _, _, outcome in found]
    stages = dict.fromkeys(stage for column in columns for stage in column if stage != WHOLE)
    rows = [(stage, *(f"{column.get(stage, 0.0):,.0f}" for column in columns)) for stage in (*stages, WHOLE)]
    rows.append(("seen by the client, p50", *(f"{outcome.p50 * 1_000:,.0f}" for _, _, outcome in found)))
    head = ("stage", *(f"{_system(name)}, {_sizes([cell.items])[0]}" for name, cell, _ in found))
    return Grid("Where the time of a request goes, µs", head, rows if columns else [])


def _system(name: str) -> str:
    """A system's name in a table; ours are named after their online store.

    >>> _system(REDIS), _system(FLOOR)
    ('ours, Redis', 'floor')
    """
    return f"ours, {name}" if name in (REDIS, SQLITE, PRODUCTION) else name


def _sizes(sizes: Sequence[int]) -> list[str]:
    return [f"{n:,} item{'s' if n > 1 else ''}" for n in sizes]
