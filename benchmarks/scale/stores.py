"""Databases with as many leads as wanted, written straight into the tables, because offering them takes longer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from benchmarks.homes import postgresql_url
from leads import clock
from leads.clock import Micros
from leads.db.engine import migrate, open_engine
from leads.db.tables import leads
from leads.events import Subject
from leads.settings import load_settings
from serving.queue.leads_table import lead_id
from serving.queue.ranks import Basis, rank_of
from serving.queue.states import reconcile

HARMS = tuple(f"harm{i:02}" for i in range(20))
# One lead in a hundred is about an account.
RARE, COMMON = "account", "comment"
NOW = clock.from_text("2026-03-01T12:00:00Z")
_BATCH = 10_000
_COLUMNS = tuple(leads.c.keys())


@contextmanager
def sqlite_store(folder: Path) -> Iterator[Engine]:
    """An empty SQLite database."""
    yield from _opened(folder, None)


@contextmanager
def postgresql_store(folder: Path) -> Iterator[Engine]:
    """An empty database on a PostgreSQL server of its own, which runs until the block ends."""
    with postgresql_url(folder / "postgresql") as url:
        yield from _opened(folder, url)


def _opened(folder: Path, url: str | None) -> Iterator[Engine]:
    settings = load_settings(home=folder / "home", corpora="none", database_url=url)
    migrate(settings)
    engine = open_engine(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def fill(engine: Engine, first: int, last: int) -> None:
    """Add open leads with the numbers from `first` to before `last`, spread over all harms and a month."""
    for start in range(first, last, _BATCH):
        rows = [_row(number) for number in range(start, min(start + _BATCH, last))]
        with engine.begin() as connection:
            _insert(connection, rows)
    reconcile(engine)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # PostgreSQL does this by itself, but not at once.
            connection.execute(sa.text("VACUUM ANALYZE leads"))


def _insert(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    if connection.dialect.name == "postgresql":
        statement = f"COPY leads ({', '.join(_COLUMNS)}) FROM STDIN"
        with connection.connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join("?" for _ in _COLUMNS)
    connection.exec_driver_sql(f"INSERT INTO leads ({', '.join(_COLUMNS)}) VALUES ({marks})", rows)


def _row(number: int) -> tuple[Any, ...]:
    draw = random.Random(number)
    type_id = RARE if draw.random() < 0.01 else COMMON
    subject, harm = Subject(type_id, f"{type_id[0]}{number}"), HARMS[draw.randrange(len(HARMS))]
    score = draw.uniform(0.3, 1.0)
    weight = score * draw.choice((1.0, 3.0, 8.0)) * draw.lognormvariate(1.0, 0.5)
    created_at: Micros = NOW - draw.randrange(30 * clock.DAY)
    values: dict[str, Any] = {
        "id": lead_id(subject, harm),
        "type_id": type_id,
        "subject_id": subject.id,
        "harm": harm,
        "state": "open",
        "score": score,
        "tier": "review",
        "model_version": "1",
        "prediction_id": f"p{number}",
        "reasons": "[]",
        "base_priority": weight,
        "created_at": created_at,
        "scored_at": created_at,
        "rank": rank_of(weight, created_at, Basis(24.0)),
        "ranked_for": created_at,
    }
    return tuple(values.get(name) for name in _COLUMNS)
