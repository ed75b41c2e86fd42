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
from serving.queue.leads_table import Actor, AuditEntry, lead_id, write_audit
from serving.queue.leases import end_expired
from serving.queue.ranks import Basis, current, rank_of
from serving.queue.reopening import Pair, Reopening, decided_pairs
from serving.queue.settling import close_decided
from serving.queue.states import Counts, counting, move, moved
from serving.scoring.reasons.explanation import Reason

_CHUNK = 1_000
_FINAL = ("decided", "escalated")
_SCORING = Actor("scoring")


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
    ids = sorted(newest)
    if any(offer_.tier != "none" for offer_ in newest.values()):
        # A decision made at the same time either sees the lead, or is seen here. Decisions lock in the same order.
        event_log.lock_head(connection)
    basis = current(connection, lock=True)
    with counting(connection) as changes:
        step = _Step(connection, changes, now, queue, basis)
        parts = [ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)]
        done = [_apply(step, {id_: newest[id_] for id_ in part}) for part in parts]
    return Offered(*map(sum, zip(*done, strict=True))) if done else Offered(0, 0, 0, 0)


class _Step(NamedTuple):
    """What all parts of a call share."""

    connection: Connection
    changes: Counts
    now: Micros
    queue: QueuePolicy
    basis: Basis


def _apply(step: _Step, part: dict[str, Offer]) -> Offered:
    stored = _lock(step, part)
    opened = _open(step, {id_: offer_ for id_, offer_ in part.items() if id_ not in stored})
    opened += _reopen(step, part, stored)
    changed = {id_: offer_ for id_, offer_ in part.items() if id_ in stored and _applies(offer_, stored[id_])}
    withdrawn = _update(step, changed, stored)
    _close_decided(step, changed, stored)
    return Offered(opened, len(changed) - withdrawn, withdrawn, len(part) - opened - len(changed))


def _lock(step: _Step, offers: dict[str, Offer]) -> dict[str, Any]:
    query = (
        sa.select(leads.c.id, leads.c.scored_at, leads.c.created_at, leads.c.state, leads.c.lease_until)
        .where(leads.c.id.in_(list(offers)))
        # All writers lock in the same order, which prevents deadlocks.
        .order_by(leads.c.id)
        .with_for_update()
    )
    found = {row.id: row for row in step.connection.execute(query)}
    expired = [id_ for id_, row in found.items() if row.state == "claimed" and row.lease_until <= step.now]
    if expired and end_expired(step.connection, step.changes, queue=step.queue, now=step.now, among=expired):
        found = {row.id: row for row in step.connection.execute(query)}
    return found


def _applies(offer_: Offer, stored: Any) -> bool:
    return offer_.scored_at >= stored.scored_at and stored.state not in _FINAL


def _open(step: _Step, new: dict[str, Offer]) -> int:
    connection, now = step.connection, step.now
    new = {id_: offer_ for id_, offer_ in new.items() if offer_.tier != "none"}
    decided = decided_pairs(connection, [offer_.pair for offer_ in new.values()], step.queue)
    again = {id_: past.reopening if (past := decided.get(offer_.pair)) else None for id_, offer_ in new.items()}
    rows = [
        {
            "id": id_,
            **_identity(offer_),
            **_scored(offer_, now, step.basis),
            "state": "open",
            "created_at": now,
            "reopened_after": reopening.superseded if (reopening := again[id_]) else None,
        }
        for id_, offer_ in new.items()
        if offer_.pair not in decided or again[id_]
    ]
    inserted = insert_new(connection, leads, rows)
    for id_ in inserted:
        moved(step.changes, new[id_].harm, None, "open")
    write_audit(connection, [_audit(now, id_, new[id_], "offered", again[id_]) for id_ in sorted(inserted)])
    return len(inserted)


def _reopen(step: _Step, part: dict[str, Offer], stored: dict[str, Any]) -> int:
    """Open decided leads again that have something new to judge."""
    connection, now = step.connection, step.now
    closed = {
        id_: offer_
        for id_, offer_ in part.items()
        if id_ in stored
        and stored[id_].state == "decided"
        and offer_.tier != "none"
        and offer_.scored_at >= stored[id_].scored_at
    }
    decided = decided_pairs(connection, [offer_.pair for offer_ in closed.values()], step.queue)
    opened = 0
    for id_, offer_ in closed.items():
        past = decided.get(offer_.pair)
        if past is None or past.reopening is None:
            continue
        reopening = past.reopening
        values = _scored(offer_, now, step.basis) | {"created_at": now, "verdict": None, "decided_at": None}
        move(connection, step.changes, [id_], "open", **values, reopened_after=reopening.superseded)
        write_audit(connection, [_audit(now, id_, offer_, "reopened", reopening)])
        opened += 1
    return opened


def _close_decided(step: _Step, changed: dict[str, Offer], stored: dict[str, Any]) -> None:
    """Close open leads whose subject holds again what was decided before, such as after an edit that was undone."""
    open_ = {id_: offer_ for id_, offer_ in changed.items() if stored[id_].state == "open" and offer_.tier != "none"}
    decided = decided_pairs(step.connection, [offer_.pair for offer_ in open_.values()], step.queue)
    for id_, offer_ in open_.items():
        past = decided.get(offer_.pair)
        if past and past.settles:
            close_decided(step.connection, step.changes, id_, past.settles, step.now)


def _update(step: _Step, changed: dict[str, Offer], stored: dict[str, Any]) -> int:
    rows, entries, withdrawn = [], [], 0
    for id_, offer_ in changed.items():
        was, created_at = stored[id_].state, stored[id_].created_at
        state = was
        if was == "open" and offer_.tier == "none":
            state, withdrawn = "withdrawn", withdrawn + 1
            entries.append(_audit(step.now, id_, offer_, "withdrawn"))
        elif was == "withdrawn" and offer_.tier != "none":
            # A reopened lead starts to wait again; any other keeps the time of its first offer.
            state, created_at = "open", step.now
            entries.append(_audit(step.now, id_, offer_, "offered"))
        moved(step.changes, offer_.harm, was, state)
        row = {"lead_id": id_, **_scored(offer_, created_at, step.basis)}
        rows.append(row | {"state": state, "created_at": created_at})
    if rows:
        # The names of parameters may not be those of columns.
        values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in rows[0] if name != "lead_id"}
        update = sa.update(leads).where(leads.c.id == sa.bindparam("lead_id")).values(values)
        parameters = [{name if name == "lead_id" else f"new_{name}": x for name, x in row.items()} for row in rows]
        step.connection.execute(update, parameters)
    write_audit(step.connection, entries)
    return withdrawn


def _identity(offer_: Offer) -> dict[str, Any]:
    return {"type_id": offer_.subject.type_id, "subject_id": offer_.subject.id, "harm": offer_.harm}


def _scored(offer_: Offer, created_at: Micros, basis: Basis) -> dict[str, Any]:
    return {
        "score": offer_.score,
        "tier": offer_.tier,
        "model_version": offer_.model_version,
        "prediction_id": offer_.prediction_id,
        "reasons": msgspec.to_builtins(offer_.reasons),
        "base_priority": offer_.base_priority,
        "scored_at": offer_.scored_at,
        "rank": rank_of(offer_.base_priority, created_at, basis),
        "ranked_for": offer_.scored_at,
    }


def _audit(now: Micros, id_: str, offer_: Offer, action: str, reopening: Reopening | None = None) -> AuditEntry:
    detail: dict[str, Any] = {"score": offer_.score, "tier": offer_.tier, "model_version": offer_.model_version}
    detail["prediction_id"] = offer_.prediction_id
    if reopening is not None:
        detail |= {"why": reopening.why, "decided_at_offset": reopening.after}
    return AuditEntry(now, id_, offer_.subject, offer_.harm, action, _SCORING, detail)
