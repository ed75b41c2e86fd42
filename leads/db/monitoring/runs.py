"""Runs of monitoring's jobs: when they began and ended, and what they say to people."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.monitoring.tables import monitor_runs

# What a run says that didn't end by itself.
KILLED = "The run was killed or stopped; the next one continues."
RunState = Literal["running", "done", "failed"]


class Run(NamedTuple):
    """One run.

    Args:
        until: end of the newest window that it measured; None if it measured none.
        notes: a line for everything that people should know: what was measured, what was left out and why.
    """

    id: str
    host: str
    started_at: Micros
    finished_at: Micros | None
    state: RunState
    until: Micros | None
    notes: list[str]


_COLUMNS = [monitor_runs.c[name] for name in Run._fields]


def begin(connection: Connection, host: str, now: Micros) -> str:
    """Record that a run begins; returns its id. Runs of this host that are still `running` were killed: they failed."""
    killed = (monitor_runs.c.host == host) & (monitor_runs.c.state == "running")
    ended = {"state": "failed", "finished_at": now, "notes": [KILLED]}
    connection.execute(sa.update(monitor_runs).where(killed).values(**ended))
    id_ = uuid.uuid4().hex
    row = Run(id_, host, now, None, "running", None, [])
    connection.execute(sa.insert(monitor_runs).values(**row._asdict()))
    return id_


def end(
    connection: Connection, run: str, now: Micros, *, until: Micros | None, notes: Sequence[str], failed: bool = False
) -> None:
    """Record how a run ended."""
    values = {"finished_at": now, "state": "failed" if failed else "done", "until": until, "notes": list(notes)}
    connection.execute(sa.update(monitor_runs).where(monitor_runs.c.id == run).values(**values))


def bring_back(connection: Connection, latest: Micros) -> bool:
    """Date runs that began after `latest` as of then; returns whether there were any. The clock was wrong that they
    were dated by, and nothing that orders or compares runs could use them."""
    columns = (monitor_runs.c.started_at, monitor_runs.c.finished_at)
    found = [
        connection.execute(sa.update(monitor_runs).where(column > latest).values({column: latest})).rowcount
        for column in columns
    ]
    return any(found)


def newest(connection: Connection, limit: int = 20) -> list[Run]:
    """The newest runs, newest first."""
    query = sa.select(*_COLUMNS).order_by(monitor_runs.c.started_at.desc(), monitor_runs.c.id).limit(limit)
    return [Run(*row) for row in connection.execute(query)]


def last_ended(connection: Connection) -> Run | None:
    """The newest run that has ended; None if there isn't one."""
    query = sa.select(*_COLUMNS).where(monitor_runs.c.state != "running").order_by(monitor_runs.c.started_at.desc())
    found = connection.execute(query.limit(1)).first()
    return None if found is None else Run(*found)
