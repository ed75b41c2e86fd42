"""Applies new scores to the queue: opens, updates and withdraws leads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import insert_new
from leads.db.tables import leads
from leads.events import Subject
from leads.policies import QueuePolicy
from leads_client.fields import Tier
from serving.queue.leads_table import Actor, AuditEntry, effective_state, lead_id, write_audit
from serving.queue.reopening import Pair, Reopening, decided_pairs
from serving.queue.settling import close_decided
from serving.scoring.reasons import Reason

_CHUNK = 1_000
_FINAL = ("decided", "escalated")
_SCORING = Actor("scoring")
_SCORED = ("score", "tier", "model_version", "prediction_id", "reasons", "base_priority", "scored_at")


class Offer(NamedTuple):
    """A score that may open, update or withdraw a lead. `exposure` is at least 1 and grows with recent plays."""

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
    def pair(self) -> Pair:
        return self.subject, self.harm

    @property
    def base_priority(self) -> float:
        return self.score * self.severity * self.exposure


class Offered(NamedTuple):
    """How many leads a call opened, updated and withdrew, and how many offers had no effect."""

    opened: int
    updated: int
    withdrawn: int
    unchanged: int


def offer(connection: Connection, offers: Iterable[Offer], now: Micros, queue: QueuePolicy) -> Offered:
    """Update the queue with new scores, in the caller's transaction.

    A (subject, harm) that was decided doesn't become a lead unless there is something new to judge (`reopening`).
    Scores older than the stored one have no effect.
    """
    newest: dict[str, Offer] = {}
    for offer_ in offers:
        id_ = lead_id(offer_.subject, offer_.harm)
        if id_ not in newest or offer_.scored_at >= newest[id_].scored_at:
            newest[id_] = offer_
    opened = updated = withdrawn = 0
    ids = sorted(newest)
    if any(offer_.tier != "none" for offer_ in newest.values()):
        # A decision made at the same time either sees the lead, or is seen here. Decisions lock in the same order.
        event_log.lock_head(connection)
    for start in range(0, len(ids), _CHUNK):
        part = {id_: newest[id_] for id_ in ids[start : start + _CHUNK]}
        stored = _lock(connection, part, now)
        opened += _open(connection, {id_: offer_ for id_, offer_ in part.items() if id_ not in stored}, now, queue)
        opened += _reopen(connection, part, stored, now, queue)
        changed = {id_: offer_ for id_, offer_ in part.items() if id_ in stored and _applies(offer_, stored[id_])}
        withdrawn += _update(connection, changed, stored, now)
        updated += len(changed)
        _close_decided(connection, changed, stored, now, queue)
    updated -= withdrawn
    return Offered(opened, updated, withdrawn, len(newest) - opened - updated - withdrawn)


def _lock(connection: Connection, offers: dict[str, Offer], now: Micros) -> dict[str, Any]:
    query = (
        sa.select(leads.c.id, leads.c.scored_at, effective_state(now).label("state"))
        .where(leads.c.id.in_(list(offers)))
        # All writers lock in the same order, which prevents deadlocks.
        .order_by(leads.c.id)
        .with_for_update()
    )
    return {row.id: row for row in connection.execute(query)}


def _applies(offer_: Offer, stored: Any) -> bool:
    return offer_.scored_at >= stored.scored_at and stored.state not in _FINAL


def _open(connection: Connection, new: dict[str, Offer], now: Micros, queue: QueuePolicy) -> int:
    new = {id_: offer_ for id_, offer_ in new.items() if offer_.tier != "none"}
    decided = decided_pairs(connection, [offer_.pair for offer_ in new.values()], queue)
    again = {id_: past.reopening if (past := decided.get(offer_.pair)) else None for id_, offer_ in new.items()}
    rows = [
        {
            "id": id_,
            **_identity(offer_),
            **_scored(offer_),
            "state": "open",
            "created_at": now,
            "reopened_after": reopening.superseded if (reopening := again[id_]) else None,
        }
        for id_, offer_ in new.items()
        if offer_.pair not in decided or again[id_]
    ]
    inserted = insert_new(connection, leads, rows)
    write_audit(connection, [_audit(now, id_, new[id_], "offered", again[id_]) for id_ in sorted(inserted)])
    return len(inserted)


def _reopen(
    connection: Connection, part: dict[str, Offer], stored: dict[str, Any], now: Micros, queue: QueuePolicy
) -> int:
    """Open decided leads again that have something new to judge."""
    closed = {
        id_: offer_
        for id_, offer_ in part.items()
        if id_ in stored
        and stored[id_].state == "decided"
        and offer_.tier != "none"
        and offer_.scored_at >= stored[id_].scored_at
    }
    decided = decided_pairs(connection, [offer_.pair for offer_ in closed.values()], queue)
    opened = 0
    for id_, offer_ in closed.items():
        past = decided.get(offer_.pair)
        if past is None or past.reopening is None:
            continue
        reopening = past.reopening
        values = {"state": "open", "created_at": now, "verdict": None, "decided_at": None}
        again = sa.update(leads).where(leads.c.id == id_)
        connection.execute(again.values(**_scored(offer_), **values, reopened_after=reopening.superseded))
        write_audit(connection, [_audit(now, id_, offer_, "reopened", reopening)])
        opened += 1
    return opened


def _close_decided(
    connection: Connection, changed: dict[str, Offer], stored: dict[str, Any], now: Micros, queue: QueuePolicy
) -> None:
    """Close open leads whose subject holds again what was decided before, such as after an edit that was undone."""
    open_ = {id_: offer_ for id_, offer_ in changed.items() if stored[id_].state == "open" and offer_.tier != "none"}
    decided = decided_pairs(connection, [offer_.pair for offer_ in open_.values()], queue)
    for id_, offer_ in open_.items():
        past = decided.get(offer_.pair)
        if past and past.reopening is None and past.standing:
            close_decided(connection, id_, past.standing, now)


def _update(connection: Connection, changed: dict[str, Offer], stored: dict[str, Any], now: Micros) -> int:
    rows, entries, withdrawn = [], [], 0
    for id_, offer_ in changed.items():
        was = stored[id_].state
        row = {"lead_id": id_, **_scored(offer_), "state": was, "reopened_at": None}
        if was == "open" and offer_.tier == "none":
            row["state"], withdrawn = "withdrawn", withdrawn + 1
            entries.append(_audit(now, id_, offer_, "withdrawn"))
        elif was == "withdrawn" and offer_.tier != "none":
            row["state"], row["reopened_at"] = "open", now
            entries.append(_audit(now, id_, offer_, "offered"))
        rows.append(row)
    if rows:
        connection.execute(_update_statement(), rows)
    write_audit(connection, entries)
    return withdrawn


def _update_statement() -> sa.Update:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in (*_SCORED, "state")}
    # A reopened lead starts to wait again; any other keeps the time of its first offer.
    values["created_at"] = sa.func.coalesce(sa.bindparam("reopened_at", type_=sa.BigInteger), leads.c.created_at)
    return sa.update(leads).where(leads.c.id == sa.bindparam("lead_id")).values(values)


def _identity(offer_: Offer) -> dict[str, Any]:
    return {"type_id": offer_.subject.type_id, "subject_id": offer_.subject.id, "harm": offer_.harm}


def _scored(offer_: Offer) -> dict[str, Any]:
    return {
        "score": offer_.score,
        "tier": offer_.tier,
        "model_version": offer_.model_version,
        "prediction_id": offer_.prediction_id,
        "reasons": msgspec.to_builtins(offer_.reasons),
        "base_priority": offer_.base_priority,
        "scored_at": offer_.scored_at,
    }


def _audit(now: Micros, id_: str, offer_: Offer, action: str, reopening: Reopening | None = None) -> AuditEntry:
    detail: dict[str, Any] = {"score": offer_.score, "tier": offer_.tier, "model_version": offer_.model_version}
    detail["prediction_id"] = offer_.prediction_id
    if reopening is not None:
        detail |= {"why": reopening.why, "decided_at_offset": reopening.after}
    return AuditEntry(now, id_, offer_.subject, offer_.harm, action, _SCORING, detail)
