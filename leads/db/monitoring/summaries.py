"""Stored hourly summaries of the prediction logs of all hosts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.engine import upsert
from leads.db.monitoring.tables import prediction_summaries as table


class StoredSummary(NamedTuple):
    """What a host's log holds of an hour, for a harm, version, role and slice; `summary` as `monitoring.summaries`."""

    host: str
    harm: str
    version: str
    role: str
    slice: str
    hour: Micros
    predictions: int
    rows: int
    summary: bytes
    written_at: Micros


_COLUMNS = [table.c[name] for name in StoredSummary._fields]
_KEY = ("host", "harm", "version", "role", "slice", "hour")


def replace(connection: Connection, host: str, harm: str, hour: Micros, found: Iterable[StoredSummary]) -> None:
    """Store all summaries of a host, harm and hour in place of the earlier ones."""
    of = (table.c.host == host) & (table.c.harm == harm) & (table.c.hour == hour)
    connection.execute(sa.delete(table).where(of))
    upsert(connection, table, [one._asdict() for one in found], key=_KEY)


def counted(connection: Connection, host: str, harm: str, since: Micros) -> dict[Micros, int]:
    """The number of predictions in the summaries of a host's hours from `since` on, by hour; all roles and versions."""
    query = (
        sa.select(table.c.hour, sa.func.sum(table.c.predictions))
        .where(table.c.host == host, table.c.harm == harm, table.c.slice == "", table.c.hour >= since)
        .group_by(table.c.hour)
    )
    return {hour: int(n) for hour, n in connection.execute(query)}


def newest(connection: Connection, harm: str, since: Micros) -> Micros | None:
    """The newest hour from `since` on that any host has predictions of; None without any."""
    query = sa.select(sa.func.max(table.c.hour)).where(table.c.harm == harm, table.c.hour >= since)
    found: Micros | None = connection.execute(query).scalar()
    return found


def read(
    connection: Connection,
    harm: str,
    since: Micros,
    until: Micros,
    *,
    version: str | None = None,
    role: str | None = None,
    slice_: str | None = "",
) -> list[StoredSummary]:
    """The summaries of the hours that begin in since ≤ hour < until, oldest first.

    Args:
        version, role: only these; None: all.
        slice_: only this slice; None: all of them.
    """
    query = sa.select(*_COLUMNS).where(table.c.harm == harm, table.c.hour >= since, table.c.hour < until)
    for column, wanted in ((table.c.version, version), (table.c.role, role), (table.c.slice, slice_)):
        if wanted is not None:
            query = query.where(column == wanted)
    return [StoredSummary(*row) for row in connection.execute(query.order_by(table.c.hour, table.c.host))]


def slices(connection: Connection, harm: str, since: Micros, until: Micros, *, role: str) -> list[str]:
    """The slices of the hours in since ≤ hour < until, without that of everything."""
    of = (table.c.harm == harm) & (table.c.hour >= since) & (table.c.hour < until) & (table.c.role == role)
    query = sa.select(table.c.slice).distinct().where(of, table.c.slice != "").order_by(table.c.slice)
    return list(connection.execute(query).scalars())


def newest_hour(connection: Connection, harm: str, until: Micros, *, role: str) -> Micros | None:
    """The newest hour before `until` that has predictions; None if none has."""
    of = (table.c.harm == harm) & (table.c.role == role) & (table.c.slice == "") & (table.c.hour < until)
    found: Micros | None = connection.execute(sa.select(sa.func.max(table.c.hour)).where(of)).scalar()
    return found
