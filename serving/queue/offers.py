"""What new scores do to the queue: open a lead, change it, or withdraw it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db import event_log
from leads.db.tables import leads
from leads.events import DecisionMade, Subject
from leads_client.fields import Tier
from serving.queue.leads_table import AuditEntry, effective_state, insert_new, lead_id, write_audit
from serving.scoring.reasons import Reason

_CHUNK = 1_000
_FINAL = ("decided", "escalated")
_SCORED = ("score", "tier", "model_version", "prediction_id", "reasons", "base_priority", "scored_at")


class Offer(NamedTuple):
    """A score that may become, change or withdraw a lead. `exposure` is at least 1: how many it may still reach."""

    subject: Subject
    harm: str
    score: float
    tier: Tier
    model_version: str
    prediction_id: str
    reasons: tuple[Reason, ...]
    severity: float
    exposure: float
    scored_at: Micros

    @property
    def base_priority(self) -> float:
        return self.score * self.severity * self.exposure


class Offered(NamedTuple):
    """How many leads a call opened, changed and withdrew, and how many offers changed nothing."""

    opened: int
    updated: int
    withdrawn: int
    unchanged: int


def offer(connection: Connection, offers: Iterable[Offer], now: Micros) -> Offered:
    """Bring the queue up to date with new scores, in the caller's transaction.

    A pair that was decided without ever being a lead gets none; scores older than the stored one change nothing.
    """
    newest: dict[str, Offer] = {}
    for one in offers:
        id_ = lead_id(one.subject, one.harm)
        if id_ not in newest or one.scored_at >= newest[id_].scored_at:
            newest[id_] = one
    opened = updated = withdrawn = 0
    ids = sorted(newest)
    for start in range(0, len(ids), _CHUNK):
        part = {id_: newest[id_] for id_ in ids[start : start + _CHUNK]}
        stored = _lock(connection, part, now)
        opened += _open(connection, {id_: one for id_, one in part.items() if id_ not in stored}, now)
        changed = {id_: one for id_, one in part.items() if id_ in stored and _counts(one, stored[id_])}
        withdrawn += _update(connection, changed, stored, now)
        updated += len(changed)
    updated -= withdrawn
    return Offered(opened, updated, withdrawn, len(newest) - opened - updated - withdrawn)


def _lock(connection: Connection, offers: dict[str, Offer], now: Micros) -> dict[str, Any]:
    query = (
        sa.select(leads.c.id, leads.c.scored_at, effective_state(now).label("state"))
        .where(leads.c.id.in_(list(offers)))
        # One order for all writers: none waits for another that waits for it.
        .order_by(leads.c.id)
        .with_for_update()
    )
    return {row.id: row for row in connection.execute(query)}


def _counts(one: Offer, stored: Any) -> bool:
    return one.scored_at >= stored.scored_at and stored.state not in _FINAL


def _open(connection: Connection, new: dict[str, Offer], now: Micros) -> int:
    new = {id_: one for id_, one in new.items() if one.tier != "none"}
    past = event_log.decisions(connection, {one.subject for one in new.values()})
    new = {id_: one for id_, one in new.items() if not _decided(past.get(one.subject, []), one.harm)}
    rows = [
        {"id": id_, **_identity(one), **_scored(one), "state": "open", "created_at": now} for id_, one in new.items()
    ]
    taken = insert_new(connection, leads, rows)
    write_audit(connection, [_audit(now, id_, new[id_], "offered") for id_ in sorted(taken)])
    return len(taken)


def _update(connection: Connection, changed: dict[str, Offer], stored: dict[str, Any], now: Micros) -> int:
    rows, entries, withdrawn = [], [], 0
    for id_, one in changed.items():
        was = stored[id_].state
        row = {"lead_id": id_, **_scored(one), "state": was, "reopened_at": None}
        if was == "open" and one.tier == "none":
            row["state"], withdrawn = "withdrawn", withdrawn + 1
            entries.append(_audit(now, id_, one, "withdrawn"))
        elif was == "withdrawn" and one.tier != "none":
            row["state"], row["reopened_at"] = "open", now
            entries.append(_audit(now, id_, one, "offered"))
        rows.append(row)
    if rows:
        connection.execute(_update_statement(), rows)
    write_audit(connection, entries)
    return withdrawn


def _update_statement() -> sa.Update:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in (*_SCORED, "state")}
    # A lead that comes back waits anew; any other keeps the time it was first offered.
    values["created_at"] = sa.func.coalesce(sa.bindparam("reopened_at", type_=sa.BigInteger), leads.c.created_at)
    return sa.update(leads).where(leads.c.id == sa.bindparam("lead_id")).values(values)


def _decided(past: Sequence[DecisionMade], harm: str) -> bool:
    return any(decision.harm == harm for decision in past)


def _identity(one: Offer) -> dict[str, Any]:
    return {"type_id": one.subject.type_id, "subject_id": one.subject.id, "harm": one.harm}


def _scored(one: Offer) -> dict[str, Any]:
    return {
        "score": one.score,
        "tier": one.tier,
        "model_version": one.model_version,
        "prediction_id": one.prediction_id,
        "reasons": msgspec.to_builtins(one.reasons),
        "base_priority": one.base_priority,
        "scored_at": one.scored_at,
    }


def _audit(now: Micros, id_: str, one: Offer, action: str) -> AuditEntry:
    detail = {"score": one.score, "tier": one.tier, "model_version": one.model_version}
    return AuditEntry(
        now, id_, one.subject, one.harm, action, "scoring", {**detail, "prediction_id": one.prediction_id}
    )
