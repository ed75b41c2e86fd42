"""A lead as it is stored, how waiting counts towards its place, and the audit row each change leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Row

from leads import clock
from leads.clock import Micros
from leads.db.tables import audit, leads
from leads.errors import NotFound
from leads.events import Subject
from leads.policies import QueuePolicy
from leads_client.fields import Tier, Verdict
from serving.scoring.reasons import Reason

LeadState = Literal["open", "claimed", "decided", "escalated", "withdrawn"]
STATES: tuple[LeadState, ...] = get_args(LeadState)


class Lead(msgspec.Struct, frozen=True):
    """A subject offered for review under one harm.

    `priority` counts waiting up to the moment of reading. `claimed_by` and `lease_until` are set while a reviewer holds
    it; a lead whose lease ran out reads as `open`.
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


class AuditEntry(NamedTuple):
    """One thing that happened to a (subject, harm), with or without a lead."""

    at: Micros
    lead_id: str | None
    subject: Subject
    harm: str
    action: str
    actor: str
    detail: Mapping[str, Any]


def lead_id(subject: Subject, harm: str) -> str:
    """The same for the same subject and harm, on every machine and in every run.

    >>> lead_id(Subject("comment", "c1"), "spam")
    'l_a1809010968ac429d33358a5'
    """
    raw = "\0".join((subject.type_id, subject.id, harm)).encode("utf-8", "replace")
    return "l_" + hashlib.blake2b(raw, digest_size=12).hexdigest()


def effective_state(now: Micros) -> sa.ColumnElement[str]:
    """The state at `now`: a claim whose lease ran out counts as open."""
    expired = sa.and_(leads.c.state == "claimed", leads.c.lease_until <= now)
    return sa.case((expired, "open"), else_=leads.c.state)


def priority(queue: QueuePolicy, now: Micros) -> sa.ColumnElement[float]:
    """score × severity × exposure × (1 + waited / `aging_hours`), so that nothing waits for ever."""
    waited = sa.case((leads.c.created_at < now, now - leads.c.created_at), else_=0)
    doubling = queue.aging_hours * clock.HOUR
    return leads.c.base_priority * (1.0 + sa.cast(waited, sa.Double) / doubling)


def select_leads(queue: QueuePolicy, now: Micros) -> sa.Select[Any]:
    """Every column, with `state` and `priority` as they are at `now`."""
    return sa.select(
        *(column for column in leads.c if column.name != "state"),
        effective_state(now).label("state"),
        priority(queue, now).label("priority"),
    )


def read_lead(row: Row[Any] | Mapping[str, Any]) -> Lead:
    """A row of `select_leads` as a record."""
    values = dict(row._mapping) if isinstance(row, Row) else dict(row)
    subject = Subject(values.pop("type_id"), values.pop("subject_id"))
    if values["state"] != "claimed":
        values["claimed_by"] = values["lease_until"] = None
    values["reasons"] = tuple(Reason(**reason) for reason in values["reasons"])
    del values["base_priority"]
    return Lead(subject=subject, **values)


def get_lead(connection: Connection, id_: str, *, queue: QueuePolicy, now: Micros, lock: bool = False) -> Lead:
    """One lead; with `lock` nobody else changes it until the transaction ends.

    Raises:
        NotFound: there is no such lead.
    """
    lead = find_lead(connection, id_, queue=queue, now=now, lock=lock)
    if lead is None:
        raise NotFound("There is no such lead.", remedy="List the leads there are with GET /v1/leads.")
    return lead


def find_lead(connection: Connection, id_: str, *, queue: QueuePolicy, now: Micros, lock: bool = False) -> Lead | None:
    """Like `get_lead`, None when there is none."""
    query = select_leads(queue, now).where(leads.c.id == id_)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return read_lead(row) if row else None


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Insert those rows whose key is free; returns the ids of the inserted ones."""
    if not rows:
        return set()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).on_conflict_do_nothing().returning(table.c.id)
    return set(connection.execute(statement, list(rows)).scalars())


def write_audit(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Note what happened, in the transaction in which it happened."""
    rows = [
        {
            "at": entry.at,
            "lead_id": entry.lead_id,
            "type_id": entry.subject.type_id,
            "subject_id": entry.subject.id,
            "harm": entry.harm,
            "action": entry.action,
            "actor": entry.actor,
            "detail": dict(entry.detail),
        }
        for entry in entries
    ]
    if rows:
        connection.execute(sa.insert(audit), rows)


def read_audit(connection: Connection, id_: str) -> list[AuditEntry]:
    """Everything that happened to a lead, oldest first; empty when there is none."""
    query = sa.select(audit).where(audit.c.lead_id == id_).order_by(audit.c.seq)
    return [
        AuditEntry(
            row.at, row.lead_id, Subject(row.type_id, row.subject_id), row.harm, row.action, row.actor, row.detail
        )
        for row in connection.execute(query)
    ]
