"""Stored alerts: opened, changed and resolved by `monitoring.alerts`, and acknowledged by people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from leads.alerting.alert import Alert, AlertState, unpacked
from leads.alerting.rules import Severity
from leads.clock import Micros
from leads.db.engine import lock_name
from leads.db.monitoring.tables import alerts
from leads.errors import Conflict, NotFound

# The most alerts of a list; the newest are kept.
MAX_LISTED = 1_000
# Among the newest alerts, all whose retraining isn't done are found.
_LATELY = 200


_COLUMNS = [alerts.c[name] for name in Alert._fields]
# Repeated literally, so that the partial index serves it.
_OPEN = sa.text("state <> 'resolved'")


def lock(connection: Connection) -> None:
    """Wait until no other transaction changes alerts, and keep others out until the caller's ends."""
    lock_name(connection, "leads.alerts")


def unresolved(connection: Connection) -> list[Alert]:
    """Every alert that isn't resolved, oldest first."""
    query = sa.select(*_COLUMNS).where(_OPEN).order_by(alerts.c.seq)
    return [_alert(row) for row in connection.execute(query)]


def add(connection: Connection, alert: Alert) -> int:
    """Store a new alert; returns its `seq`; the given one has no meaning."""
    values = {**alert._asdict(), "detail": alert.detail.packed()}
    del values["seq"]
    key = connection.execute(sa.insert(alerts).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def change(connection: Connection, seq: int, **values: Any) -> None:
    """Change fields of an alert."""
    if "detail" in values:
        values["detail"] = values["detail"].packed()
    connection.execute(sa.update(alerts).where(alerts.c.seq == seq).values(**values))


def listing(
    connection: Connection,
    *,
    states: Collection[AlertState] = (),
    harms: Collection[str] | None = None,
    named: bool = True,
    rule: str | None = None,
    resolved_since: Micros | None = None,
    before: int | None = None,
    limit: int = MAX_LISTED,
) -> list[Alert]:
    """Alerts, newest first.

    Args:
        states: only these; empty: all.
        harms: only those of these harms (the empty string: of the whole platform); None: all.
        named: also those that name one of these harms among others.
        resolved_since: leave out those that were resolved before this time.
        before: only those with a lower `seq`: the last one of the page before.
    """
    query = sa.select(*_COLUMNS).order_by(alerts.c.seq.desc()).limit(limit)
    if states:
        query = query.where(alerts.c.state.in_(sorted(states)))
    if harms is not None:
        others = alerts.c.detail["harms"].as_string()
        names = [others.contains(f'"{harm}"', autoescape=True) for harm in sorted(harms) if harm and named]
        query = query.where(sa.or_(alerts.c.harm.in_(sorted(harms)), *names))
    if rule is not None:
        query = query.where(alerts.c.rule == rule)
    if resolved_since is not None:
        query = query.where(alerts.c.resolved_at.is_(None) | (alerts.c.resolved_at >= resolved_since))
    if before is not None:
        query = query.where(alerts.c.seq < before)
    return [_alert(row) for row in connection.execute(query)]


def find(connection: Connection, seq: int) -> Alert | None:
    """An alert by its id."""
    row = connection.execute(sa.select(*_COLUMNS).where(alerts.c.seq == seq)).first()
    return None if row is None else _alert(row)


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


def retraining(connection: Connection) -> list[Alert]:
    """The alerts whose retraining waits or runs, oldest first, among those that opened lately."""
    found = reversed(listing(connection, limit=_LATELY))
    return [one for one in found if one.detail.retraining and one.detail.retraining.state in ("waiting", "running")]


def firing(connection: Connection, *, named: bool = True) -> dict[tuple[str, str, Severity], int]:
    """How many alerts fire or are acknowledged, by rule, harm and severity.

    Args:
        named: an alert about several harms counts for each; else only for the first.
    """
    return dict(
        Counter(
            (one.rule, harm, one.severity)
            for one in unresolved(connection)
            for harm in (one.harms if named else one.harms[:1])
        )
    )


def alert_not_found() -> NotFound:
    """The error for an id that no alert has."""
    return NotFound("Alert not found.", remedy="List them: leads alerts, or GET /v1/monitoring/alerts.")


def _alert(row: Row[Any]) -> Alert:
    made = Alert(*tuple(row))
    return made._replace(detail=unpacked(made.detail))
