"""What is stored about the time of an alert: leads and reviews, canaries that retreated, generations of features."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.alerting.alert import Alert, Happened
from leads.clock import Micros
from leads.db import model_changes
from leads.db.progress.feature_generations import feature_generations
from leads.db.tables import canary_retreats, leads, reviews

# How far back from an alert's `since` causes are looked for.
BEFORE: Micros = 6 * clock.HOUR
_MOVES = {
    "registered": "version {version} was registered",
    "promoted": "version {version} became champion",
    "challenging": "version {version} became challenger",
    "rolled_back": "version {version} became champion again (rolled back)",
    "retired": "version {version} was retired",
    "canary": "version {version} became canary",
    "canary_stopped": "the canary, version {version}, was stopped",
}
# Repeated literally, so that the partial index serves it.
_OPEN = sa.text("state = 'open'")


class Counted(NamedTuple):
    """Leads that were opened since a time and are open, and reviews since then that ended with a verdict."""

    open: int
    decided: int


def count_since(connection: Connection, harm: str, since: Micros, *, type_id: str | None = None) -> Counted:
    """Count leads and decisions.

    Args:
        harm: empty for all harms.
        type_id: only leads of subjects of this type; decisions are counted for all types.
    """
    opened = sa.select(sa.func.count()).select_from(leads).where(_OPEN, leads.c.created_at >= since)
    decided = sa.select(sa.func.count()).select_from(reviews)
    decided = decided.where(reviews.c.ended_at >= since, reviews.c.state == "decided")
    if harm:
        opened, decided = opened.where(leads.c.harm == harm), decided.where(reviews.c.harm == harm)
    if type_id is not None:
        opened = opened.where(leads.c.type_id == type_id)
    return Counted(connection.execute(opened).scalar() or 0, connection.execute(decided).scalar() or 0)


class CanaryRetreat(NamedTuple):
    """A canary that went out of service."""

    at: Micros
    harm: str
    version: str
    why: str


def retreats(connection: Connection, harm: str, since: Micros, until: Micros) -> list[CanaryRetreat]:
    """The canaries of a harm that retreated in since ≤ t ≤ until."""
    columns = [canary_retreats.c[name] for name in CanaryRetreat._fields]
    within = canary_retreats.c.at.between(since, until)
    query = sa.select(*columns).where(canary_retreats.c.harm == harm, within)
    return [CanaryRetreat(*row) for row in connection.execute(query)]


class GenerationMove(NamedTuple):
    """A generation of features that went online or was retired."""

    at: Micros
    number: int
    live: bool


def generation_moves(connection: Connection, since: Micros, until: Micros) -> list[GenerationMove]:
    """The generations of features that went online or were retired in since ≤ t ≤ until."""
    found = []
    for column, live in ((feature_generations.c.live_at, True), (feature_generations.c.retired_at, False)):
        query = sa.select(column, feature_generations.c.number).where(column.between(since, until))
        found += [GenerationMove(at, number, live) for at, number in connection.execute(query)]
    return found


def model_moves(connection: Connection, harm: str, start: Micros, now: Micros) -> list[Happened]:
    """What became of a harm's versions, including canaries that retreated."""
    if not harm:
        return []
    found = [
        Happened(change.at, _sentence(f"{_MOVES[change.action].format(version=change.version)} ({change.actor})"))
        for change in model_changes.history(connection, harm)
        if change.state == "done" and start <= change.at <= now
    ]
    for retreat in retreats(connection, harm, start, now):
        what = f"the canary, version {retreat.version}, retreated: {retreat.why}"
        found.append(Happened(retreat.at, _sentence(what)))
    return found


def with_moves(connection: Connection, alert: Alert, now: Micros, *, named: bool = True) -> Alert:
    """An alert that also says what became of its harm's versions after it opened, such as by a retraining.

    Args:
        named: also of the other harms that it names.
    """
    start, end = alert.since - BEFORE, now if alert.resolved_at is None else alert.resolved_at
    also = list(alert.detail.also)
    for harm in alert.harms if named else alert.harms[:1]:
        for one in model_moves(connection, harm, start, end):
            said = one if harm == alert.harm else Happened(one.at, f"{harm}: {one.what}")
            if said not in also:
                also.append(said)
    newest_first = tuple(sorted(also, key=lambda one: -one.at))
    return alert._replace(detail=msgspec.structs.replace(alert.detail, also=newest_first))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
