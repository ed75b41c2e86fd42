"""Stored drift verdicts: monitoring writes them; retraining and the console read them."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.tables import drift_verdicts


class DriftVerdict(NamedTuple):
    """Whether a version's inputs between `since` and `until` (µs) drifted from its training reference.

    `share` is the share of inputs that drifted; `rows` is the number of subjects compared.
    """

    at: Micros
    harm: str
    version: str
    since: Micros
    until: Micros
    rows: int
    drifted: bool
    score_drifted: bool
    share: float


def record(connection: Connection, verdict: DriftVerdict) -> None:
    """Store a verdict."""
    connection.execute(drift_verdicts.insert().values(**verdict._asdict()))


def newest(connection: Connection, harm: str, version: str) -> DriftVerdict | None:
    """The newest verdict on a version; None if there is none."""
    columns = [drift_verdicts.c[name] for name in DriftVerdict._fields]
    query = (
        sa.select(*columns)
        .where(drift_verdicts.c.harm == harm, drift_verdicts.c.version == version)
        .order_by(drift_verdicts.c.seq.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return DriftVerdict(*row) if row else None
