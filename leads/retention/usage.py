"""How much each kind of data takes up, how old it is, and how fast it grows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads import clock
from leads.clock import Micros
from leads.db.access.uses import admin_uses
from leads.db.engine import reading
from leads.db.monitoring.tables import alerts, metric_rows, monitor_runs, prediction_summaries
from leads.db.outbox.tables import outbox
from leads.db.tables import (
    audit,
    canary_retreats,
    drift_verdicts,
    events,
    idempotency,
    item_versions,
    lead_counts,
    leads,
    model_changes,
    reviews,
)
from leads.retention.kinds import KINDS, kind_of
from leads.retention.removal import files_below
from leads.settings import Settings

# Growth is measured over the last days.
_DAYS = 7
_TABLES = {
    "events": events,
    "item_versions": item_versions,
    "leads": leads,
    "reviews": reviews,
    "audit": audit,
    "admin_uses": admin_uses,
    "responses": idempotency,
    "model_changes": model_changes,
    "drift_verdicts": drift_verdicts,
    "canary_retreats": canary_retreats,
    "prediction_summaries": prediction_summaries,
    "metric_rows": metric_rows,
    "monitor_runs": monitor_runs,
    "alerts": alerts,
    "outbox": outbox,
}
# Those whose rows have rising numbers in the column `seq`, and a time in `at`.
_WITH_SEQ = ("audit", "admin_uses", "model_changes", "drift_verdicts", "canary_retreats")


class Usage(NamedTuple):
    """What there is of a kind.

    Args:
        items: files, or rows.
        size: bytes; None if it isn't known.
        oldest, newest: when the first and the last was written, µs; None if it isn't known, or there is nothing.
        per_day: growth in bytes per day, or in rows per day where the bytes aren't known; None if it isn't known.
    """

    kind: str
    items: int = 0
    size: int | None = None
    oldest: Micros | None = None
    newest: Micros | None = None
    per_day: float | None = None


def home_usage(settings: Settings, *, now: float | None = None) -> dict[str, Usage]:
    """The files of this home by kind. A kind without files isn't there.

    Files that are changed in place, such as databases, don't count as growth.
    """
    now = time.time() if now is None else now
    since = now - _DAYS * 86_400
    items: dict[str, int] = {}
    size: dict[str, int] = {}
    recent: dict[str, int] = {}
    times: dict[str, tuple[float, float]] = {}
    for entry in files_below(settings.root):
        kind = kind_of(entry.path.relative_to(settings.root))
        items[kind] = items.get(kind, 0) + 1
        size[kind] = size.get(kind, 0) + entry.size
        if entry.at >= since and ".db" not in entry.path.name:
            recent[kind] = recent.get(kind, 0) + entry.size
        first, last = times.get(kind, (entry.at, entry.at))
        times[kind] = min(first, entry.at), max(last, entry.at)
    return {
        kind: Usage(
            kind,
            items[kind],
            size[kind],
            int(times[kind][0] * clock.SECOND),
            int(times[kind][1] * clock.SECOND),
            None
            if kind in ("database", "features")
            else _per_day(recent.get(kind, 0), (now - times[kind][0]) / 86_400),
        )
        for kind in items
    }


def database_usage(engine: Engine, *, now: Micros | None = None) -> dict[str, Usage]:
    """The rows of the database by kind.

    Rows are counted by their first and last number where that is possible, so that it is quick: rows that were deleted
    in between count too. PostgreSQL also says how many bytes a table takes up.
    """
    now = clock.now() if now is None else now
    since = now - _DAYS * clock.DAY
    with reading(engine) as connection:
        found = {
            kind: _numbered(connection, kind, number, at, since, now)
            for kind, (number, at) in {
                "events": (events.c.offset, events.c.visible_at),
                "alerts": (alerts.c.seq, alerts.c.opened_at),
                "outbox": (outbox.c.seq, outbox.c.created_at),
                **{name: (_TABLES[name].c.seq, _TABLES[name].c.at) for name in _WITH_SEQ},
            }.items()
        }
        found |= {
            "item_versions": Usage("item_versions", _count(connection, item_versions)),
            "leads": _leads(connection),
            "reviews": _rows(connection, "reviews", reviews.c.created_at, since, now),
            "prediction_summaries": _rows(connection, "prediction_summaries", prediction_summaries.c.hour, since, now),
            "metric_rows": Usage("metric_rows", _count(connection, metric_rows)),
            "monitor_runs": _rows(connection, "monitor_runs", monitor_runs.c.started_at, since, now),
            "responses": _rows(connection, "responses", idempotency.c.at, since, now),
        }
        if connection.dialect.name == "postgresql":
            sizes = _postgresql_sizes(connection)
            found = {kind: one._replace(size=sizes[_TABLES[kind].name]) for kind, one in found.items()}
            whole = connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one()
            found["database"] = Usage("database", 1, int(whole))
    return found


def usage(settings: Settings, engine: Engine | None) -> list[Usage]:
    """Everything that is stored, by kind, in the order of `KINDS`.

    Args:
        engine: of the database; None if there is none.
    """
    found: Mapping[str, Usage] = {
        **home_usage(settings),
        **(database_usage(engine) if engine is not None else {}),
    }
    return [found[kind.name] for kind in KINDS if kind.name in found]


def _leads(connection: Connection) -> Usage:
    rows = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(lead_counts.c.n), 0))).scalar_one()
    return Usage("leads", int(rows))


def _rows(connection: Connection, kind: str, at: sa.Column[int], since: Micros, now: Micros) -> Usage:
    """Count the rows of a table without a number."""
    recent = sa.func.count().filter(at >= since)
    query = sa.select(sa.func.count(), sa.func.min(at), sa.func.max(at), recent).select_from(at.table)
    rows, oldest, newest, new = connection.execute(query).one()
    per_day = _per_day(new, (now - oldest) / clock.DAY) if rows else None
    return Usage(kind, int(rows), None, oldest, newest, per_day)


def _numbered(
    connection: Connection, kind: str, number: sa.Column[int], at: sa.Column[int], since: Micros, now: Micros
) -> Usage:
    """Count the rows of a table whose rows have rising numbers and are in the order of time, by a few look-ups."""
    first, last = connection.execute(sa.select(sa.func.min(number), sa.func.max(number))).one()
    if first is None:
        return Usage(kind)

    def time_of(n: int) -> Micros:
        """When the row with this number, or the next one, was written."""
        return int(connection.execute(sa.select(at).where(number >= n).order_by(number).limit(1)).scalar_one())

    # The last row that was written before `since`, or the number before the first.
    low, high = first - 1, last
    while low < high:
        middle = (low + high) // 2
        if time_of(middle + 1) < since:
            low = middle + 1
        else:
            high = middle
    oldest, newest = time_of(first), time_of(last)
    return Usage(kind, last - first + 1, None, oldest, newest, _per_day(last - low, (now - oldest) / clock.DAY))


def _count(connection: Connection, table: sa.Table) -> int:
    """The number of rows of a table; PostgreSQL's estimate, if it has one."""
    if connection.dialect.name == "postgresql":
        query = sa.text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:name)")
        estimate = connection.execute(query, {"name": table.name}).scalar()
        if estimate is not None and estimate >= 0:
            return int(estimate)
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _postgresql_sizes(connection: Connection) -> Mapping[str, int]:
    sizes = {}
    for table in _TABLES.values():
        query = sa.text("SELECT pg_total_relation_size(to_regclass(:name))")
        sizes[table.name] = int(connection.execute(query, {"name": table.name}).scalar() or 0)
    return sizes


def _per_day(recent: float, age_days: float) -> float:
    """Growth per day over the last days, or since the beginning if that is later."""
    return recent / min(_DAYS, max(age_days, 1.0))
