"""The review queue at growing sizes: first pages under every filter, and claims, on both databases."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from benchmarks.report import Measure, at_most, say
from benchmarks.scale.claimants import claimants
from benchmarks.scale.growth import exponent, p50_ms
from benchmarks.scale.stores import HARMS, NOW, RARE, fill, postgresql_store, sqlite_store
from leads.db.engine import reading
from leads.policies import QueuePolicy
from serving.queue.leads_table import Actor
from serving.queue.queue import claim, list_leads
from serving.queue.stats import stats

_QUEUE = QueuePolicy(max_claimed=10_000)
_SIZES, _FEWER = (10_000, 100_000, 1_000_000), (10_000, 30_000, 100_000)
_REPEATS, _FEWER_REPEATS = 50, 15
_MOST_MS, _MOST_EXPONENT = 10.0, 0.2
_CLAIMANTS = 50
_FILTERS: dict[str, dict[str, Any]] = {
    "first page, no filter": {"harms": HARMS},
    "first page, one harm": {"harms": HARMS[:1]},
    "first page, 2 of 20 harms": {"harms": HARMS[:2]},
    "first page, type of 1% of leads": {"harms": HARMS, "type_id": RARE},
    # As many as the smallest store has on average.
    "first 10, 2 harms and type": {"harms": HARMS[:2], "type_id": RARE, "limit": 10},
}


def on_sqlite(quick: bool) -> list[Measure]:
    """Claims and pages on SQLite, at most 10 ms each."""
    with tempfile.TemporaryDirectory() as folder, sqlite_store(Path(folder)) as engine:
        return _growth("SQLite", engine, quick, most_ms=_MOST_MS)


def on_postgresql(quick: bool) -> list[Measure]:
    """Claims and pages on PostgreSQL, and many claimants at once."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, postgresql_store(Path(folder)) as engine:
        found = _growth("PostgreSQL", engine, quick, most_ms=None)
        say(f"PostgreSQL: {_CLAIMANTS} claimants")
        return found + claimants(engine, _CLAIMANTS, 10 if quick else 60)


def _growth(database: str, engine: Engine, quick: bool, *, most_ms: float | None) -> list[Measure]:
    """Each cost at each size, and its exponent."""
    costs: dict[str, dict[int, float]] = {}
    before, reviewers = 0, itertools.count()
    for size in _FEWER if quick else _SIZES:
        say(f"{database}: {size:,} open leads")
        fill(engine, before, size)
        before = size
        for what, p50 in _costs(engine, reviewers, _FEWER_REPEATS if quick else _REPEATS).items():
            costs.setdefault(what, {})[size] = p50
    found = []
    for what, by_size in costs.items():
        for size, p50 in by_size.items():
            name = f"{database}, {size:,} leads: {what}, p50"
            found.append(Measure(name, p50, "ms") if most_ms is None else at_most(name, p50, "ms", most_ms))
        found.append(at_most(f"{database}: {what}, exponent", exponent(by_size), "", _MOST_EXPONENT))
    return found


def _costs(engine: Engine, reviewers: Iterator[int], repeats: int) -> dict[str, float]:
    """The median time of each kind of work, in ms."""

    def page(filter_: dict[str, Any]) -> None:
        with reading(engine) as connection:
            assert list_leads(connection, queue=_QUEUE, now=NOW, **filter_).leads

    def take() -> None:
        actor = Actor(f"bench-{next(reviewers)}")
        with engine.begin() as connection:
            assert len(claim(connection, n=10, actor=actor, queue=_QUEUE, now=NOW, harms=HARMS)) == 10

    def look() -> None:
        with reading(engine) as connection:
            stats(connection, HARMS, NOW)

    found = {what: p50_ms(lambda f=filter_: page(f), repeats) for what, filter_ in _FILTERS.items()}  # type: ignore[misc]
    return found | {"claim of 10": p50_ms(take, repeats), "statistics": p50_ms(look, repeats)}
