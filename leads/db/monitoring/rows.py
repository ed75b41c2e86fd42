"""Measured values: written by the jobs of monitoring, read by everyone who shows or judges them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import DAY, Micros
from leads.db.engine import upsert
from leads.db.monitoring.tables import metric_rows


class MetricRow(NamedTuple):
    """One measured value of a window since ≤ t < until (µs).

    Args:
        harm: empty for the whole platform; `version`: empty where none is concerned.
        slice: `name=value`, several joined with `;`, in the order of their names; empty for everything.
        value: None if the window has too little to measure it.
        lo, hi: an interval of the value, or its simultaneous bounds; `method` says which; None without any.
        n: number of rows, events or decisions behind it.
    """

    harm: str
    version: str
    slice: str
    since: Micros
    until: Micros
    name: str
    value: float | None
    lo: float | None
    hi: float | None
    n: int
    method: str


_COLUMNS = [metric_rows.c[name] for name in MetricRow._fields]
_KEY = ("harm", "name", "slice", "version", "until", "since")


def write(connection: Connection, run: str, rows: Iterable[MetricRow], *, job: str = "") -> None:
    """Store values of a job; those that exist are replaced."""
    values = [{"run": run, "job": job, **row._asdict()} for row in rows]
    upsert(connection, metric_rows, values, key=_KEY)


def replace(connection: Connection, run: str, job: str, harm: str, until: Micros, rows: Iterable[MetricRow]) -> None:
    """Store what a job measured of the window that ends at `until`, in place of what it measured of it before."""
    of = (metric_rows.c.job == job) & (metric_rows.c.harm == harm) & (metric_rows.c.until == until)
    connection.execute(sa.delete(metric_rows).where(of))
    write(connection, run, rows, job=job)


def latest_ends(connection: Connection, after: Micros) -> dict[tuple[str, str], Micros]:
    """The ends of the latest windows that end after `after`, by job and harm."""
    key = metric_rows.c.job, metric_rows.c.harm
    query = sa.select(*key, sa.func.max(metric_rows.c.until)).where(metric_rows.c.until > after).group_by(*key)
    return {(job, harm): until for job, harm, until in connection.execute(query)}


def delete_later(connection: Connection, job: str, harm: str, until: Micros) -> None:
    """Delete a job's values of windows that end after `until`."""
    of = (metric_rows.c.job == job) & (metric_rows.c.harm == harm) & (metric_rows.c.until > until)
    connection.execute(sa.delete(metric_rows).where(of))


def read(
    connection: Connection,
    *,
    names: Collection[str] = (),
    harm: str | None = None,
    since: Micros | None = None,
    until: Micros | None = None,
    slice_: str | None = None,
    limit: int | None = None,
) -> list[MetricRow]:
    """Values of windows that end in since < until ≤ `until`, newest window first.

    Args:
        names: only these; empty: all.
        harm, slice_: only this one; the empty string means that of the whole; None: all.
    """
    query = sa.select(*_COLUMNS).order_by(metric_rows.c.until.desc(), metric_rows.c.name, metric_rows.c.slice)
    if names:
        query = query.where(metric_rows.c.name.in_(sorted(names)))
    if harm is not None:
        query = query.where(metric_rows.c.harm == harm)
    if slice_ is not None:
        query = query.where(metric_rows.c.slice == slice_)
    if since is not None:
        query = query.where(metric_rows.c.until > since)
    if until is not None:
        query = query.where(metric_rows.c.until <= until)
    if limit is not None:
        query = query.limit(limit)
    return [MetricRow(*row) for row in connection.execute(query)]


class Window(NamedTuple):
    """A window since ≤ t < until in which a metric of a harm was measured."""

    harm: str
    name: str
    since: Micros
    until: Micros


def windows(connection: Connection, *, names: Collection[str], since: Micros, now: Micros) -> list[Window]:
    """The recent windows in which any of these metrics was measured, newest first.

    They ended within the two days before `since`, or later; those that are longer than a day, within the eight days
    before `now`, as all do.
    """
    columns = [metric_rows.c[name] for name in Window._fields]
    ends, length = metric_rows.c.until, metric_rows.c.until - metric_rows.c.since
    recent = (ends > now - 8 * DAY) & ((ends > since - 2 * DAY) | (length > DAY))
    query = sa.select(*columns).distinct().where(recent, metric_rows.c.name.in_(sorted(names)))
    return [Window(*row) for row in connection.execute(query.order_by(ends.desc(), *columns[:3]))]


def of_windows(connection: Connection, name: str, ends: Collection[Micros]) -> list[MetricRow]:
    """The values of a metric in all windows that end at these times, newest window first."""
    query = sa.select(*_COLUMNS).where(metric_rows.c.name == name, metric_rows.c.until.in_(sorted(ends)))
    query = query.order_by(metric_rows.c.until.desc(), metric_rows.c.slice)
    return [MetricRow(*row) for row in connection.execute(query)]
