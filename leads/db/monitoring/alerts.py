"""Stored alerts: opened, changed and resolved by `monitoring.alerts`, and acknowledged by people."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.alerting.rules import Severity
from leads.clock import Micros
from leads.db.engine import lock_name
from leads.db.monitoring.tables import alerts
from leads.errors import Conflict, NotFound

AlertState = Literal["firing", "acknowledged", "resolved"]
# The most alerts of a list; the newest are kept.
MAX_LISTED = 1_000


class Alert(NamedTuple):
    """An alert. Times are µs.

    Args:
        seq: its id.
        harm: empty for the whole platform.
        slice: as in `metric_rows`; empty for everything.
        since: the start of the first window in which the rule was broken.
        opened_at, seen_at: when it was first and last found broken.
        sent_at, sent_worst: when a message about it was last written, and `worst` at that time; None: not yet.
        value, lo, hi: the newest measured value.
        limit: of the rule, with the policy's changes.
        worst: the largest deviation so far: how far the bound that counts was beyond the limit.
        detail: what `monitoring.alerts.detail` explains.
        note: why it was resolved, if not because values returned; or what the person wrote who acknowledged it.
    """

    seq: int
    rule: str
    harm: str
    slice: str
    version: str
    severity: Severity
    state: AlertState
    since: Micros
    opened_at: Micros
    seen_at: Micros
    resolved_at: Micros | None
    sent_at: Micros | None
    sent_worst: float | None
    value: float | None
    lo: float | None
    hi: float | None
    limit: float
    worst: float | None
    detail: dict[str, Any]
    acknowledged_by: str | None
    acknowledged_at: Micros | None
    note: str | None


_COLUMNS = [alerts.c[name] for name in Alert._fields]
# Repeated literally, so that the partial index serves it.
_OPEN = sa.text("state <> 'resolved'")


def lock(connection: Connection) -> None:
    """Wait until no other transaction changes alerts, and keep others out until the caller's ends."""
    lock_name(connection, "leads.alerts")


def unresolved(connection: Connection) -> list[Alert]:
    """Every alert that isn't resolved, oldest first."""
    query = sa.select(*_COLUMNS).where(_OPEN).order_by(alerts.c.seq)
    return [Alert(*row) for row in connection.execute(query)]


def add(connection: Connection, alert: Alert) -> int:
    """Store a new alert; returns its `seq`, which the given one's doesn't matter for."""
    values = alert._asdict()
    del values["seq"]
    key = connection.execute(sa.insert(alerts).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def change(connection: Connection, seq: int, **values: Any) -> None:
    """Change fields of an alert."""
    connection.execute(sa.update(alerts).where(alerts.c.seq == seq).values(**values))


def listing(
    connection: Connection,
    *,
    states: Collection[AlertState] = (),
    harms: Collection[str] | None = None,
    rule: str | None = None,
    resolved_since: Micros | None = None,
    before: int | None = None,
    limit: int = MAX_LISTED,
) -> list[Alert]:
    """Alerts, newest first.

    Args:
        states: only these; empty: all.
        harms: only those of these harms (the empty string: of the whole platform); None: all.
        resolved_since: leave out those that were resolved before this time.
        before: only those with a lower `seq`: the last one of the page before.
    """
    query = sa.select(*_COLUMNS).order_by(alerts.c.seq.desc()).limit(limit)
    if states:
        query = query.where(alerts.c.state.in_(sorted(states)))
    if harms is not None:
        query = query.where(alerts.c.harm.in_(sorted(harms)))
    if rule is not None:
        query = query.where(alerts.c.rule == rule)
    if resolved_since is not None:
        query = query.where(alerts.c.resolved_at.is_(None) | (alerts.c.resolved_at >= resolved_since))
    if before is not None:
        query = query.where(alerts.c.seq < before)
    return [Alert(*row) for row in connection.execute(query)]


def find(connection: Connection, seq: int) -> Alert | None:
    """An alert by its id."""
    row = connection.execute(sa.select(*_COLUMNS).where(alerts.c.seq == seq)).first()
    return None if row is None else Alert(*row)


def acknowledge(connection: Connection, seq: int, by: str, now: Micros, *, note: str | None = None) -> Alert:
    """Record that somebody looks after an alert: nothing more is sent about it until it resolves.

    Raises:
        NotFound: there is no such alert.
        Conflict: it is resolved.
    """
    lock(connection)
    found = find(connection, seq)
    if found is None:
        raise alert_not_found()
    if found.state == "resolved":
        raise Conflict("This alert is resolved already.", remedy="Nothing is left to do.")
    if found.state == "firing":
        found = found._replace(state="acknowledged", acknowledged_by=by, acknowledged_at=now)
    if note:
        found = found._replace(note=note)
    kept = ("state", "acknowledged_by", "acknowledged_at", "note")
    change(connection, seq, **{name: getattr(found, name) for name in kept})
    return found


def firing(connection: Connection) -> dict[tuple[str, str, Severity], int]:
    """How many alerts fire or are acknowledged, by rule, harm and severity."""
    key = alerts.c.rule, alerts.c.harm, alerts.c.severity
    query = sa.select(*key, sa.func.count()).where(_OPEN).group_by(*key)
    return {(rule, harm, severity): n for rule, harm, severity, n in connection.execute(query)}


def alert_not_found() -> NotFound:
    """The error for an id that no alert has."""
    return NotFound("Alert not found.", remedy="List them: leads alerts, or GET /v1/monitoring/alerts.")
