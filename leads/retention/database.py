"""Deletes old rows of the database, a few at a time, so that no other transaction waits for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.clock import Micros
from leads.db.access.uses import admin_uses
from leads.db.engine import insert_new, reading
from leads.db.monitoring.tables import alert_silences, alerts, metric_rows, monitor_runs, prediction_summaries
from leads.db.outbox.tables import outbox
from leads.db.tables import audit, canary_retreats, cursors, drift_verdicts, idempotency, leads
from leads.retention.removal import Pruned

Prune = Callable[[Engine, Micros, bool], Pruned]
_BATCH = 500
_PRUNED_AT = "pruned-at"
# Leads whose audit trail may lose its oldest entries: nobody reviews them any more.
_CLOSED = ("decided", "withdrawn")


def prune_audit(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete audit entries that are older than this time, unless their lead may still be reviewed."""
    rows = 0
    for seqs in _old_audit(engine, before):
        rows += _delete(engine, audit, audit.c.seq.in_(seqs), dry_run, len(seqs))
    return Pruned("audit", rows, None)


def prune_admin_uses(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete what is recorded about requests that needed the scope `admin` before this time."""
    return Pruned("admin_uses", _delete_where(engine, admin_uses, admin_uses.c.at < before, dry_run), None)


def prune_responses(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete responses that were stored before this time: their Idempotency-Key counts no more."""
    return Pruned("responses", _delete_where(engine, idempotency, idempotency.c.at < before, dry_run), None)


def prune_drift_verdicts(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete drift verdicts that are older than this time. Retraining reads the newest on each version: it stays."""
    newest = sa.select(sa.func.max(drift_verdicts.c.seq)).group_by(drift_verdicts.c.harm, drift_verdicts.c.version)
    old = (drift_verdicts.c.at < before) & drift_verdicts.c.seq.not_in(newest)
    return Pruned("drift_verdicts", _delete_where(engine, drift_verdicts, old, dry_run), None)


def prune_canary_retreats(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete retreats that were cleared before this time. Those in force stay."""
    old = canary_retreats.c.cleared_at < before
    return Pruned("canary_retreats", _delete_where(engine, canary_retreats, old, dry_run), None)


def prune_prediction_summaries(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete the summaries of hours before this time."""
    old = prediction_summaries.c.hour < before
    return Pruned("prediction_summaries", _delete_where(engine, prediction_summaries, old, dry_run), None)


def prune_metric_rows(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete the values of windows that ended before this time."""
    return Pruned("metric_rows", _delete_where(engine, metric_rows, metric_rows.c.until < before, dry_run), None)


def prune_monitor_runs(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete runs that began before this time."""
    old = monitor_runs.c.started_at < before
    return Pruned("monitor_runs", _delete_where(engine, monitor_runs, old, dry_run), None)


def prune_alerts(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete alerts that resolved before this time, and silences that ended before. What is open stays."""
    rows = _delete_where(engine, alerts, alerts.c.resolved_at < before, dry_run)
    rows += _delete_where(engine, alert_silences, alert_silences.c.until < before, dry_run)
    return Pruned("alerts", rows, None)


def prune_outbox(engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    """Delete messages that were delivered or given up before this time. Those that wait stay."""
    return Pruned("outbox", _delete_where(engine, outbox, outbox.c.done_at < before, dry_run), None)


PRUNES: Mapping[str, Prune] = {
    "audit": prune_audit,
    "admin_uses": prune_admin_uses,
    "responses": prune_responses,
    "drift_verdicts": prune_drift_verdicts,
    "canary_retreats": prune_canary_retreats,
    "prediction_summaries": prune_prediction_summaries,
    "metric_rows": prune_metric_rows,
    "monitor_runs": prune_monitor_runs,
    "alerts": prune_alerts,
    "outbox": prune_outbox,
}


def take_turn(engine: Engine, now: Micros, every: Micros) -> bool:
    """Whether it is the caller's turn to delete what all hosts share; then it isn't anybody's for the time `every`."""
    name = cursors.c.name == _PRUNED_AT
    with engine.begin() as connection:
        mine = sa.update(cursors).where(name, cursors.c.offset <= now - every).values(offset=now)
        if connection.execute(mine.returning(cursors.c.name)).first() is not None:
            return True
        return bool(insert_new(connection, cursors, [{"name": _PRUNED_AT, "offset": now}]))


def _old_audit(engine: Engine, before: Micros) -> Iterator[Sequence[int]]:
    """The entries to delete, a batch at a time. Entries are in the order of time, give or take a transaction."""
    closed = sa.select(leads.c.id).where(leads.c.state.in_(_CLOSED))
    last = -1
    while True:
        window = sa.select(audit.c.seq, audit.c.at).where(audit.c.seq > last).order_by(audit.c.seq).limit(_BATCH)
        with reading(engine) as connection:
            rows = connection.execute(window).all()
            old = [row.seq for row in rows if row.at < before]
            its_lead = audit.c.lead_id.is_(None) | audit.c.lead_id.in_(closed)
            chosen = sa.select(audit.c.seq).where(audit.c.seq.in_(old), its_lead)
            found = list(connection.execute(chosen).scalars()) if old else []
        if found:
            yield found
        if not old:
            return
        last = rows[-1].seq


def _delete_where(engine: Engine, table: sa.Table, old: sa.ColumnElement[bool], dry_run: bool) -> int:
    if dry_run:
        with reading(engine) as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(old)).scalar_one())
    columns = tuple(table.primary_key.columns)
    deleted = 0
    while True:
        with reading(engine) as connection:
            found = [tuple(row) for row in connection.execute(sa.select(*columns).where(old).limit(_BATCH))]
        if not found:
            return deleted
        these = columns[0].in_([row[0] for row in found]) if len(columns) == 1 else sa.tuple_(*columns).in_(found)
        deleted += _delete(engine, table, old & these, dry_run, len(found))


def _delete(engine: Engine, table: sa.Table, which: sa.ColumnElement[bool], dry_run: bool, rows: int) -> int:
    if dry_run:
        return rows
    with engine.begin() as connection:
        return connection.execute(sa.delete(table).where(which)).rowcount
