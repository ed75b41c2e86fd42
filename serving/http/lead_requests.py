"""The work behind the queue's routes: check the key, call the queue, convert the result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, get_args

from sqlalchemy.engine import Connection

from leads import clock
from leads.content import of_token
from leads.db import subject_events
from leads.db.engine import reading
from leads.db.items import current_contents, named_contents
from leads.db.keys import ApiKey
from leads.errors import AccessDenied
from leads.events import SignalReceived, Subject
from leads_client.fields import LeadId, LeadState
from leads_client.schemas.leads import (
    ClaimedLead,
    ClaimedOut,
    ClaimIn,
    DecidedOut,
    DecisionIn,
    ExtendedOut,
    ExtendIn,
    HeldOut,
    LeadDetail,
    LeadsOut,
    ReleasedOut,
    ReleaseIn,
    StateFilter,
    SubjectDecisionIn,
    TrailOut,
)
from leads_client.schemas.stats import StatsOut
from serving.http.access.harms import check_harm, shows
from serving.http.serializers import claimed_out, decided_out, detail_out, lead_out, stats_out, trail_out
from serving.queue import decisions, leases, queue, stats
from serving.queue.cases import Ruling
from serving.queue.leads_table import Actor, Lead, find_lead, lead_not_found, read_audit
from serving.queue.leases import Claimed
from serving.queue.reviews import scored_contents
from serving.runtime import Runtime

_SIGNALS = 200
_ID = re.compile(get_args(LeadId)[1].pattern)


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
        held = current_contents(connection, [lead.subject for lead in page.leads])
        scored = scored_contents(connection, page.leads, held)
    shown = tuple(lead_out(lead, held.get(lead.subject), scored[lead.id]) for lead in page.leads)
    return LeadsOut(leads=shown, next_cursor=page.next_cursor)


def queue_stats(runtime: Runtime, key: ApiKey) -> StatsOut:
    """Show how full the queue is and how fast it moves, for the harms that the key may see."""
    now = runtime.clock()
    harms = _harms(runtime, key, None, "/harm") or ()
    with reading(runtime.engine) as connection:
        return stats_out(stats.stats(connection, harms, now), now)


def show_lead(runtime: Runtime, key: ApiKey, id_: str) -> LeadDetail:
    """Show a lead with its subject and the signals about it, except those of harms that the key may not see."""
    with reading(runtime.engine) as connection:
        lead = _lead(connection, runtime, key, id_)
        held = current_contents(connection, [lead.subject])
        scored = scored_contents(connection, [lead], held)[lead.id]
        newest = subject_events.signals(connection, lead.subject, limit=_SIGNALS)
        signals = [x for x in newest if isinstance(x.event.body, SignalReceived) and shows(key, x.event.body.harm)]
        return detail_out(lead, held.get(lead.subject), scored, signals, runtime.declared)


def audit_trail(runtime: Runtime, key: ApiKey, id_: str) -> TrailOut:
    """Show a lead's audit trail."""
    with reading(runtime.engine) as connection:
        lead = _lead(connection, runtime, key, id_)
        return trail_out(lead.id, read_audit(connection, lead.id))


def held_leads(runtime: Runtime, key: ApiKey, reviewer: str | None) -> HeldOut:
    """List the leads that a reviewer holds, with the content that each claim showed."""
    name = key.reviewer_named(reviewer)
    with reading(runtime.engine) as connection:
        found = leases.held(
            connection,
            name,
            queue=runtime.policies.queue,
            now=runtime.clock(),
            limit=runtime.policies.queue.max_claimed,
        )
        visible = [x for x in found if key.harms is None or x.lead.harm in key.harms]
        return HeldOut(reviewer=name, leads=_claimed(connection, runtime, visible))


def claim_leads(connection: Connection, runtime: Runtime, key: ApiKey, body: ClaimIn) -> ClaimedOut:
    """Claim leads and return them with their subjects' content."""
    found = queue.claim(
        connection,
        n=body.n,
        actor=_actor(key, body.reviewer),
        queue=runtime.policies.queue,
        now=runtime.clock(),
        harms=_harms(runtime, key, body.harms, "/harms"),
        exclude=body.exclude,
    )
    return ClaimedOut(leads=_claimed(connection, runtime, found))


def release_lead(connection: Connection, runtime: Runtime, key: ApiKey, id_: str, body: ReleaseIn) -> ReleasedOut:
    """Release a lead."""
    _lead(connection, runtime, key, id_)
    actor = _actor(key, body.reviewer)
    lead = leases.release(connection, id_, actor=actor, queue=runtime.policies.queue, now=runtime.clock())
    return ReleasedOut(id=lead.id, state=lead.state)


def extend_lease(connection: Connection, runtime: Runtime, key: ApiKey, id_: str, body: ExtendIn) -> ExtendedOut:
    """Extend the lease of a lead."""
    _lead(connection, runtime, key, id_)
    actor = _actor(key, body.reviewer)
    lead = leases.extend(connection, id_, actor=actor, queue=runtime.policies.queue, now=runtime.clock())
    return ExtendedOut(id=lead.id, lease_until=clock.to_text(lead.lease_until or 0))


def decide_lead(connection: Connection, runtime: Runtime, key: ApiKey, id_: str, body: DecisionIn) -> DecidedOut:
    """Decide a lead."""
    _lead(connection, runtime, key, id_)
    ruling = _ruling(key, body)
    return decided_out(decisions.decide_lead(connection, id_, ruling, policies=runtime.policies, clock_=runtime.clock))


def decide_subject(
    connection: Connection, runtime: Runtime, key: ApiKey, subject: Subject, body: SubjectDecisionIn
) -> DecidedOut:
    """Decide a subject under a harm."""
    check_harm(runtime.policies, key, body.harm, field="/harm")
    ruling = _ruling(key, body)._replace(appeal=body.appeal)
    return decided_out(
        decisions.decide_subject(
            connection, subject, body.harm, ruling, policies=runtime.policies, clock_=runtime.clock
        )
    )


def _actor(key: ApiKey, reviewer: str | None) -> Actor:
    return Actor(key.reviewer_named(reviewer), key.id)


def _ruling(key: ApiKey, body: DecisionIn) -> Ruling:
    if body.by != "human":
        raise AccessDenied(
            "API callers can't decide as automation.", field="/by", remedy="Leave out `by`, or send `human`."
        )
    content = None if body.content_version is None else of_token(body.content_version, field="/contentVersion")
    return Ruling(
        body.verdict,
        _actor(key, body.reviewer),
        reason=body.reason,
        review_id=body.review_id,
        content=content,
        on_old_content=body.on_old_content,
    )


def _claimed(connection: Connection, runtime: Runtime, found: Sequence[Claimed]) -> tuple[ClaimedLead, ...]:
    """The leads with the content that their reviews show: after an edit, still the one that was claimed."""
    held = current_contents(connection, {lead.subject for lead, _ in found})
    shown = named_contents(connection, [(lead.subject, review.content) for lead, review in found])
    scored = scored_contents(connection, [lead for lead, _ in found], held)
    out = []
    for claimed in found:
        subject = claimed.lead.subject
        seen = shown.get((subject, claimed.review.content))
        title = runtime.policies.harm(claimed.lead.harm).title
        item = seen.item if seen else None
        out.append(claimed_out(claimed, title, item, held.get(subject), scored[claimed.lead.id], runtime.declared))
    return tuple(out)


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
