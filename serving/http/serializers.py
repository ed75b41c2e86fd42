"""Converts the service's records to the schemas of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from leads import clock
from leads.api.declared import Declared
from leads.api.requests import time_text
from leads.content import Content, ref_of, to_token
from leads.events import ContentRef, ItemCreated, LoggedEvent, SignalReceived, Subject
from leads.policies import HarmPolicy
from leads_client.fields import json_name
from leads_client.schemas.base import ReasonOut, RefOut, SubjectOut, WeighedReason
from leads_client.schemas.leads import (
    AuditOut,
    CanaryOut,
    ClaimedLead,
    DecidedOut,
    HarmModels,
    LeadDetail,
    LeadOut,
    ModelsOut,
    NewContent,
    RetreatOut,
    SignalOut,
    TrailOut,
    VersionOut,
)
from leads_client.schemas.stats import DepthOut, HarmStatsOut, ReviewerStatsOut, StatsOut, ThroughputOut
from leads_client.schemas.types import HarmOut, HarmsOut, ThresholdsOut
from models.version import ModelVersion, model_name
from serving.queue.decisions import Decided
from serving.queue.leads_table import AuditEntry, Lead
from serving.queue.leases import Claimed
from serving.queue.stats import Ended, QueueStats
from serving.versions.serving_status import ServingStatus

# The fields of audit entries that are times.
_TIMES = frozenset(("lease_until",))


def lead_out(lead: Lead, content: Content | None, scored: ContentRef) -> LeadOut:
    """A lead. `content` is what its subject holds now, `scored` names the version that the score is about."""
    return LeadOut(
        id=lead.id,
        subject=ref_out(lead.subject),
        harm=lead.harm,
        state=lead.state,
        score=lead.score,
        tier=lead.tier,
        model=model_name(lead.harm),
        model_version=lead.model_version,
        prediction_id=lead.prediction_id,
        reasons=tuple(WeighedReason(code=x.code, text=x.text, weight=x.weight) for x in lead.reasons),
        priority=lead.priority,
        created_at=clock.to_text(lead.created_at),
        scored_at=clock.to_text(lead.scored_at),
        claimed_by=lead.claimed_by,
        lease_until=time_text(lead.lease_until),
        decided_at=time_text(lead.decided_at),
        verdict=lead.verdict,
        content_changed=scored.hash != ref_of(content).hash,
    )


def claimed_out(
    claimed: Claimed,
    title: str,
    item: ItemCreated | None,
    held: Content | None,
    scored: ContentRef,
    declared: Declared,
) -> ClaimedLead:
    """A claimed lead with the content that its review shows, and what the subject holds now if that differs.

    Reasons about another version of the content would mislead the reviewer, so they are left out.
    """
    lead, review = claimed
    changed = scored.hash != review.content.hash
    new = None
    if held is not None and held.ref.hash != review.content.hash:
        subject = subject_out(lead.subject, held.item, declared, to_reviewers=True)
        new = NewContent(content_version=to_token(held.ref), subject=subject)
    return ClaimedLead(
        id=lead.id,
        review_id=review.id,
        content_version=to_token(review.content),
        subject=subject_out(lead.subject, item, declared, to_reviewers=True),
        harm=lead.harm,
        harm_title=title,
        model=model_name(lead.harm),
        model_version=lead.model_version,
        reasons=() if changed else tuple(ReasonOut(code=x.code, text=x.text) for x in lead.reasons),
        content_changed=changed,
        created_at=clock.to_text(lead.created_at),
        scored_at=clock.to_text(lead.scored_at),
        lease_until=clock.to_text(lead.lease_until or 0),
        new_content=new,
    )


def detail_out(
    lead: Lead, content: Content | None, scored: ContentRef, history: list[LoggedEvent], declared: Declared
) -> LeadDetail:
    signals = [
        SignalOut(
            kind=body.kind,
            source=body.source,
            harm=body.harm,
            score=body.score,
            occurred_at=clock.to_text(logged.event.occurred_at),
        )
        for logged in history
        if isinstance(body := logged.event.body, SignalReceived)
    ]
    return LeadDetail(
        lead=lead_out(lead, content, scored),
        content_version=to_token(ref_of(content)),
        subject=subject_out(lead.subject, content.item if content else None, declared, to_reviewers=False),
        signals=tuple(signals),
    )


def trail_out(id_: str, entries: list[AuditEntry]) -> TrailOut:
    out = [
        AuditOut(
            at=clock.to_text(x.at),
            action=x.action,
            actor=x.actor.name,
            key=x.actor.key_id,
            detail=dict(_detail_out(name, value) for name, value in x.detail.items()),
        )
        for x in entries
    ]
    return TrailOut(lead_id=id_, entries=tuple(out))


def _detail_out(name: str, value: Any) -> tuple[str, Any]:
    """A field of an audit entry, named and written as everywhere in the API."""
    if name == "content":
        return "contentVersion", to_token(msgspec.convert(value, ContentRef))
    if name in _TIMES and value is not None:
        value = clock.to_text(value)
    return json_name(name), value


def stats_out(found: QueueStats, now: int) -> StatsOut:
    harms = [
        HarmStatsOut(
            harm=harm,
            leads=DepthOut(**{str(state): n for state, n in one.leads.items()}),
            oldest_open_s=None if one.oldest is None else max(0.0, (now - one.oldest) / clock.SECOND),
            last_hour=_throughput_out(one.last_hour),
            last_24_hours=_throughput_out(one.last_day),
        )
        for harm, one in found.harms.items()
    ]
    reviewers = [
        ReviewerStatsOut(
            reviewer=reviewer,
            held=one.held,
            last_hour=_throughput_out(one.last_hour),
            last_24_hours=_throughput_out(one.last_day),
        )
        for reviewer, one in found.reviewers.items()
    ]
    return StatsOut(at=clock.to_text(now), harms=tuple(harms), reviewers=tuple(reviewers))


def _throughput_out(ended: Ended) -> ThroughputOut:
    return ThroughputOut(**ended._asdict())


def decided_out(decided: Decided) -> DecidedOut:
    return DecidedOut(
        subject=ref_out(decided.subject),
        harm=decided.harm,
        verdict=decided.ruling.verdict,
        by=decided.ruling.by,
        reviewer=decided.ruling.actor.name,
        lead_id=decided.lead.id if decided.lead else None,
        review_id=decided.review_id,
        content_version=to_token(decided.content),
        state=decided.lead.state if decided.lead else None,
        repeated=decided.repeated,
    )


def models_out(served: list[ServingStatus], checked_at: int, home: str) -> ModelsOut:
    return ModelsOut(checked_at=time_text(checked_at or None), models=tuple(_harm_models(x, home) for x in served))


def _harm_models(status: ServingStatus, home: str) -> HarmModels:
    canary = None
    if status.published.canary is not None:
        retreat = status.retreat
        canary = CanaryOut(
            version=status.published.canary,
            loaded=status.published.canary in status.loaded,
            share=status.share,
            retreated=RetreatOut(at=clock.to_text(retreat.at), why=retreat.why, host=retreat.host) if retreat else None,
        )
    return HarmModels(
        harm=status.harm,
        model=model_name(status.harm),
        serving=status.serving,
        champion=_version_out(status, status.published.champion),
        canary=canary,
        challenger=_version_out(status, status.published.challenger),
        previous=status.previous,
        aliases=status.published.aliases,
        converged=status.converged,
        # Reasons may contain paths. Callers needn't know where the service keeps its files.
        refused={version: why.replace(home, "…") for version, why in status.refused.items()},
    )


def _version_out(status: ServingStatus, version: str | None) -> VersionOut | None:
    return None if version is None else VersionOut(version=version, loaded=version in status.loaded)


def harms_out(harms: Mapping[str, HarmPolicy], champions: Mapping[str, ModelVersion]) -> HarmsOut:
    """Harms by name, with the champions that serve some of them."""
    return HarmsOut(harms=tuple(_harm_out(name, harm, champions.get(name)) for name, harm in harms.items()))


def _harm_out(name: str, harm: HarmPolicy, champion: ModelVersion | None) -> HarmOut:
    known = None if champion is None else champion.thresholds
    return HarmOut(
        harm=name,
        title=harm.title,
        type_ids=harm.subject_types,
        champion=None if champion is None else champion.version,
        thresholds=None if known is None else ThresholdsOut(review=known.review, auto=known.auto),
    )


def ref_out(subject: Subject) -> RefOut:
    return RefOut(subject.id, subject.type_id)


def subject_out(subject: Subject, item: ItemCreated | None, declared: Declared, *, to_reviewers: bool) -> SubjectOut:
    return SubjectOut(
        subject.id, subject.type_id, {} if item is None else declared.out(item, to_reviewers=to_reviewers)
    )
