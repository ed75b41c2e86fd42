"""Reading leads from the database, and the audit trail."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from leads.clock import Micros
from leads.db.tables import audit, leads
from leads.errors import NotFound
from leads.events import Subject
from leads.policies import QueuePolicy
from leads_client.fields import LeadState, Tier, Verdict
from serving.queue.ranks import priority_of
from serving.scoring.reasons.explanation import Reason

STATES: tuple[LeadState, ...] = get_args(LeadState)
_NOT_READ = ("state", "reopened_after", "rank", "ranked_for")
# A lead whose subject is edited again and again gets entries without end.
_MAX_AUDIT = 1_000


class Lead(msgspec.Struct, frozen=True):
    """A subject offered for review under one harm.

    `priority` is score × severity × exposure, doubled for every `aging_hours` of waiting until the lead was read.
    `claimed_by` and `lease_until` are set while a reviewer has claimed it; after the lease expires, `state` is `open`.
    """

    id: str
    subject: Subject
    harm: str
    state: LeadState
    score: float
    tier: Tier
    model_version: str
    prediction_id: str
    reasons: tuple[Reason, ...]
    priority: float
    created_at: Micros
    scored_at: Micros
    claimed_by: str | None
    lease_until: Micros | None
    decided_at: Micros | None
    verdict: Verdict | None


class Actor(NamedTuple):
    """Who changes the queue: a reviewer with the API key that they use, or a part of the platform."""

    name: str
    key_id: str | None = None


class AuditEntry(NamedTuple):
    """One change of a (subject, harm) pair, with or without a lead."""

    at: Micros
    lead_id: str | None
    subject: Subject
    harm: str
    action: str
    actor: Actor
    detail: Mapping[str, Any]


def lead_id(subject: Subject, harm: str) -> str:
    """The id of the lead of a subject and harm, the same on every machine and in every run.

    >>> lead_id(Subject("comment", "c1"), "spam")
    'l_a1809010968ac429d33358a5'
    """
    raw = "\0".join((subject.type_id, subject.id, harm)).encode("utf-8", "replace")
    return "l_" + hashlib.blake2b(raw, digest_size=12).hexdigest()


def effective_state(now: Micros) -> sa.ColumnElement[str]:
    """The state at `now`: a claimed lead whose lease has expired is open."""
    expired = sa.and_(leads.c.state == "claimed", leads.c.lease_until <= now)
    return sa.case((expired, "open"), else_=leads.c.state)


def select_leads(now: Micros) -> sa.Select[Any]:
    """Select what `read_lead` reads, with `state` as of `now`."""
    return sa.select(
        *(column for column in leads.c if column.name not in _NOT_READ), effective_state(now).label("state")
    )


def read_lead(row: Row[Any], queue: QueuePolicy, now: Micros) -> Lead:
    """Convert a row of `select_leads`, with its priority as of `now`."""
    values = dict(row._mapping)
    subject = Subject(values.pop("type_id"), values.pop("subject_id"))
    if values["state"] != "claimed":
        values["claimed_by"] = values["lease_until"] = None
    values["reasons"] = tuple(Reason(**reason) for reason in values["reasons"])
    weight = values.pop("base_priority")
    values["priority"] = priority_of(weight, values["created_at"], queue.aging_hours, now)
    return Lead(subject=subject, **values)


def get_lead(connection: Connection, id_: str, *, queue: QueuePolicy, now: Micros, lock: bool = False) -> Lead:
    """Read a lead. `lock` locks its row until the transaction ends.

    Raises:
        NotFound: the lead doesn't exist.
    """
    lead = find_lead(connection, id_, queue=queue, now=now, lock=lock)
    if lead is None:
        raise lead_not_found()
    return lead


def lead_not_found() -> NotFound:
    """The error for an id without a lead."""
    return NotFound("Lead not found.", remedy="List leads with GET /v1/leads.")


def find_lead(connection: Connection, id_: str, *, queue: QueuePolicy, now: Micros, lock: bool = False) -> Lead | None:
    """Like `get_lead`, but None if the lead doesn't exist."""
    query = select_leads(now).where(leads.c.id == id_)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return read_lead(row, queue, now) if row else None


def write_audit(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Write audit entries, in the transaction of the changes that they describe."""
    rows = [
        {
            "at": entry.at,
            "lead_id": entry.lead_id,
            "type_id": entry.subject.type_id,
            "subject_id": entry.subject.id,
            "harm": entry.harm,
            "action": entry.action,
            "actor": entry.actor.name,
            "key_id": entry.actor.key_id,
            "detail": dict(entry.detail),
        }
        for entry in entries
    ]
    if rows:
        connection.execute(sa.insert(audit), rows)


def read_audit(connection: Connection, id_: str) -> list[AuditEntry]:
    """The newest entries of a lead's audit trail, oldest first."""
    query = sa.select(audit).where(audit.c.lead_id == id_).order_by(audit.c.seq.desc()).limit(_MAX_AUDIT)
    return [
        AuditEntry(
            row.at,
            row.lead_id,
            Subject(row.type_id, row.subject_id),
            row.harm,
            row.action,
            Actor(row.actor, row.key_id),
            row.detail,
        )
        for row in connection.execute(query).all()[::-1]
    ]
