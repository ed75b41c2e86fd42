"""Scheduled verdicts on drift. A look by hand is never stored, so it can't pass for one."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.tables import metric_rows

VERDICT = "drift.verdict"
# How the method of a row without a verdict begins; what follows says why.
NO_VERDICT = "no verdict"
# The same, where there were enough predictions, but windows vary too much for a change to be seen.
UNCLEAR = "can't tell"
# A window that ended longer ago says nothing about today.
VALID_FOR: Micros = 7 * clock.DAY

_COLUMNS = [metric_rows.c[name] for name in MetricRow._fields]


def is_unclear(row: MetricRow) -> bool:
    """Whether a row has no verdict because a change couldn't have been seen."""
    return row.value is None and row.method.startswith(UNCLEAR)


def why_none(row: MetricRow) -> str:
    """Why a row has no verdict.

    >>> row = MetricRow("spam", "3", "", 0, 0, VERDICT, None, None, None, 9, "no verdict: it has no predictions")
    >>> why_none(row), is_unclear(row)
    ('it has no predictions', False)
    """
    return row.method.removeprefix(UNCLEAR).removeprefix(NO_VERDICT).removeprefix(": ")


def newest(connection: Connection, harm: str, version: str, now: Micros) -> MetricRow | None:
    """The newest verdict on a version, whose `value` is 1 if it has drifted; None if there is none of the last week."""
    of = (metric_rows.c.harm == harm) & (metric_rows.c.name == VERDICT) & (metric_rows.c.version == version)
    recent = (metric_rows.c.until > now - VALID_FOR) & metric_rows.c.value.is_not(None)
    query = sa.select(*_COLUMNS).where(of, recent).order_by(metric_rows.c.until.desc()).limit(1)
    row = connection.execute(query).first()
    return MetricRow(*row) if row else None
