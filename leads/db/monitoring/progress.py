"""How far each job has measured, and each host has summarised its predictions.

What was measured may become out of date: predictions are logged late, or summarised by a host that was down. Whoever
writes the summaries of an hour again sets back the progress of the harm's jobs in the same transaction (`reopen`), and
a job advances only if nobody did meanwhile (`advance`). So no change is overlooked, whoever is killed when.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.engine import insert_new, upsert
from leads.db.monitoring.tables import monitor_progress as table

# A host's progress in summarising is that of a job of its own.
_SUMMARIES = "summaries:"
_MEASURES = sa.not_(table.c.job.startswith(_SUMMARIES))


class Progress(NamedTuple):
    """How far a job has measured.

    Args:
        until: the end of the newest window that is measured.
        changes: how often summaries that it may have measured were written again.
    """

    until: Micros
    changes: int


def of_jobs(connection: Connection) -> dict[tuple[str, str], Progress]:
    """The progress of all jobs, by job and harm."""
    query = sa.select(table.c.job, table.c.harm, table.c.until, table.c.changes).where(_MEASURES)
    return {(job, harm): Progress(until, changes) for job, harm, until, changes in connection.execute(query)}


def begin(connection: Connection, job: str, harm: str, until: Micros) -> None:
    """Say that a job has measured up to `until`, unless it has a progress already."""
    insert_new(connection, table, [{"job": job, "harm": harm, "until": until, "changes": 0}])


def advance(connection: Connection, job: str, harm: str, seen: Progress, until: Micros) -> bool:
    """Record the end of a window, in the transaction that writes its values.

    Args:
        seen: the progress as it was before anything was read for the window.

    Returns whether it was recorded: not if summaries have changed since, so that the window has to be measured again.
    """
    of = (table.c.job == job) & (table.c.harm == harm)
    same = (table.c.until == seen.until) & (table.c.changes == seen.changes)
    return connection.execute(sa.update(table).where(of, same).values(until=until)).rowcount == 1


def reopen(connection: Connection, harm: str, hour: Micros, *, ended: bool) -> bool:
    """Have every job measure the windows again that end after `hour` (µs), in the transaction that changes the hour.

    Returns whether there are such windows.

    Args:
        ended: whether the hour is over. If it isn't, only clocks that differ let a job measure it, or be about to.
    """
    of = _MEASURES & (table.c.harm == harm)
    newest = connection.execute(sa.select(sa.func.max(table.c.until)).where(of)).scalar()
    if not ended:
        of &= table.c.until > hour
    earlier = sa.case((table.c.until > hour, hour), else_=table.c.until)
    connection.execute(sa.update(table).where(of).values(until=earlier, changes=table.c.changes + 1))
    return newest is not None and newest > hour


def set_back(connection: Connection, job: str, harm: str, until: Micros) -> None:
    """Have a job measure the windows again that end after `until`."""
    of = (table.c.job == job) & (table.c.harm == harm) & (table.c.until > until)
    connection.execute(sa.update(table).where(of).values(until=until, changes=table.c.changes + 1))


def forget(connection: Connection, harms: Collection[str]) -> None:
    """Delete the progress on harms that no longer exist."""
    connection.execute(sa.delete(table).where(table.c.harm.in_(sorted(harms))))


def harms_of_jobs(connection: Connection) -> set[str]:
    """The harms that any job has measured."""
    return set(connection.execute(sa.select(table.c.harm).where(_MEASURES).distinct()).scalars())


def set_summarised(connection: Connection, host: str, harm: str, until: Micros) -> None:
    """Record up to when a host's predictions of a harm are summarised."""
    row = {"job": f"{_SUMMARIES}{host}", "harm": harm, "until": until, "changes": 0}
    upsert(connection, table, [row], key=("job", "harm"))


def summarised(connection: Connection, harm: str, since: Micros) -> dict[str, Micros]:
    """Up to when each host's predictions of a harm are summarised; only hosts that did it since."""
    of = (table.c.harm == harm) & (table.c.until >= since) & table.c.job.startswith(_SUMMARIES)
    query = sa.select(table.c.job, table.c.until).where(of)
    return {job.removeprefix(_SUMMARIES): at for job, at in connection.execute(query)}
