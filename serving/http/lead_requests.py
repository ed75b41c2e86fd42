"""The work behind the queue's routes: check the key, call the queue, convert the result."""

from __future__ import annotations

import re
from typing import NamedTuple

from sqlalchemy.engine import Connection

from leads.db import event_log
from leads.db.engine import reading
from leads.db.items import current_items
from leads.db.keys import ApiKey
from leads.events import SignalReceived, Subject
from leads_client.schemas.leads import (
    ClaimedOut,
    ClaimIn,
    DecidedOut,
    DecisionIn,
    LeadDetail,
    LeadsOut,
    ReleasedOut,
    ReleaseIn,
    StateFilter,
    SubjectDecisionIn,
    TrailOut,
)
from serving.http.access.harms import check_harm, shows
from serving.http.serializers import claimed_out, decided_out, detail_out, lead_out, trail_out
from serving.queue import decisions, queue
from serving.queue.decisions import Ruling
from serving.queue.leads_table import Lead, LeadState, find_lead, lead_not_found, read_audit
from serving.runtime import Runtime

_ID = re.compile(r"l_[0-9a-f]{24}")


class LeadFilter(NamedTuple):
    """Which leads to list; None means no restriction."""

    harms: tuple[str, ...] | None
    state: StateFilter
    type_id: str | None
    limit: int
    cursor: str | None


def list_leads(runtime: Runtime, key: ApiKey, filter_: LeadFilter) -> LeadsOut:
    """List one page of leads."""
    harms = _harms(runtime, key, filter_.harms, "/harm")
    state: LeadState | None = None if filter_.state == "any" else filter_.state
    with reading(runtime.engine) as connection:
        page = queue.list_leads(
            connection,
            queue=runtime.policies.queue,
            now=runtime.clock(),
            harms=harms,
            state=state,
            type_id=filter_.type_id,
            limit=filter_.limit,
            cursor=filter_.cursor,
        )
    return LeadsOut(leads=tuple(map(lead_out, page.leads)), next_cursor=page.next_cursor)


def show_lead(runtime: Runtime, key: ApiKey, id_: str) -> LeadDetail:
    """Show a lead with its subject and the signals about it, except those of harms that the key may not see."""
    with reading(runtime.engine) as connection:
        lead = _lead(connection, runtime, key, id_)
        item = current_items(connection, [lead.subject]).get(lead.subject)
        history = event_log.of_subject(connection, lead.subject)
        signals = [x for x in history if isinstance(x.event.body, SignalReceived) and shows(key, x.event.body.harm)]
        return detail_out(lead, item, signals)


def audit_trail(runtime: Runtime, key: ApiKey, id_: str) -> TrailOut:
    """Show a lead's audit trail."""
    with reading(runtime.engine) as connection:
        lead = _lead(connection, runtime, key, id_)
        return trail_out(lead.id, read_audit(connection, lead.id))


def claim_leads(connection: Connection, runtime: Runtime, key: ApiKey, body: ClaimIn) -> ClaimedOut:
    """Claim leads and return them with their subjects' content."""
    found = queue.claim(
        connection,
        n=body.n,
        reviewer=body.reviewer,
        queue=runtime.policies.queue,
        now=runtime.clock(),
        harms=_harms(runtime, key, body.harms, "/harms"),
    )
    items = current_items(connection, [lead.subject for lead in found])
    return ClaimedOut(
        leads=tuple(claimed_out(x, runtime.policies.harm(x.harm).title, items.get(x.subject)) for x in found)
    )


def release_lead(connection: Connection, runtime: Runtime, key: ApiKey, id_: str, body: ReleaseIn) -> ReleasedOut:
    """Release a lead."""
    _lead(connection, runtime, key, id_)
    lead = queue.release(connection, id_, reviewer=body.reviewer, queue=runtime.policies.queue, now=runtime.clock())
    return ReleasedOut(id=lead.id, state=lead.state)


def decide_lead(connection: Connection, runtime: Runtime, key: ApiKey, id_: str, body: DecisionIn) -> DecidedOut:
    """Decide a lead."""
    _lead(connection, runtime, key, id_)
    ruling = Ruling(body.verdict, body.reviewer, body.by, body.reason)
    return decided_out(decisions.decide_lead(connection, id_, ruling, policies=runtime.policies, clock_=runtime.clock))


def decide_subject(
    connection: Connection, runtime: Runtime, key: ApiKey, subject: Subject, body: SubjectDecisionIn
) -> DecidedOut:
    """Decide a subject under a harm."""
    check_harm(runtime.policies, key, body.harm, field="/harm")
    ruling = Ruling(body.verdict, body.reviewer, body.by, body.reason, body.appeal)
    return decided_out(
        decisions.decide_subject(
            connection, subject, body.harm, ruling, policies=runtime.policies, clock_=runtime.clock
        )
    )


def _harms(runtime: Runtime, key: ApiKey, requested: tuple[str, ...] | None, field: str) -> frozenset[str] | None:
    """The requested harms, which the key must allow; by default all that it allows."""
    if requested is None:
        return key.harms if key.harms is not None else frozenset(runtime.policies.harms)
    for harm in requested:
        check_harm(runtime.policies, key, harm, field=field)
    return frozenset(requested)


def _lead(connection: Connection, runtime: Runtime, key: ApiKey, id_: str) -> Lead:
    lead = find_lead(connection, id_, queue=runtime.policies.queue, now=runtime.clock()) if _ID.fullmatch(id_) else None
    # A key limited to some harms must not learn whether a lead of another harm exists.
    if lead is None or not shows(key, lead.harm):
        raise lead_not_found()
    return lead
