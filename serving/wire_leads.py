"""How leads, audit trails and model versions look from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leads import clock
from leads.records import ItemCreated, LoggedEvent, SignalReceived, Subject
from leads.wire import ItemData, Out, ReasonOut, Ref, SubjectIn, WeighedReason, time_text
from models.version import model_name
from serving.decisions import Decided
from serving.leads_table import AuditEntry, Lead
from serving.served import Served


class LeadOut(Out, frozen=True):
    """A lead as those see it who look after the queue."""

    id: str
    subject: Ref
    harm: str
    state: str
    score: float
    tier: str
    model: str
    model_version: str
    prediction_id: str
    reasons: tuple[WeighedReason, ...]
    priority: float
    created_at: str
    scored_at: str
    claimed_by: str | None
    lease_until: str | None
    decided_at: str | None
    verdict: str | None


class LeadsOut(Out, frozen=True):
    """By falling priority. `nextCursor` is null on the last page."""

    leads: tuple[LeadOut, ...]
    next_cursor: str | None


class ClaimedLead(Out, frozen=True):
    """A lead as its reviewer sees it: neither score nor tier nor priority, so that these don't sway the verdict."""

    id: str
    subject: SubjectIn
    harm: str
    harm_title: str
    model: str
    model_version: str
    reasons: tuple[ReasonOut, ...]
    lease_until: str


class ClaimedOut(Out, frozen=True):
    leads: tuple[ClaimedLead, ...]


class SignalOut(Out, frozen=True):
    kind: str
    source: str
    harm: str | None
    score: float | None
    occurred_at: str


class LeadDetail(Out, frozen=True):
    """A lead, what its subject holds, and the signals about it, oldest first."""

    lead: LeadOut
    subject: SubjectIn
    signals: tuple[SignalOut, ...]


class AuditOut(Out, frozen=True):
    at: str
    action: str
    actor: str
    detail: Mapping[str, Any]


class TrailOut(Out, frozen=True):
    """Everything that happened to a lead, oldest first."""

    lead_id: str
    entries: tuple[AuditOut, ...]


class ReleasedOut(Out, frozen=True):
    id: str
    state: str


class DecidedOut(Out, frozen=True):
    """The decision that stands. `repeated`: it stood before, nothing changed."""

    subject: Ref
    harm: str
    verdict: str
    by: str
    reviewer: str
    lead_id: str | None
    state: str | None
    repeated: bool


class VersionOut(Out, frozen=True):
    """A version in its role; `loaded`: it is loaded and proven in this worker."""

    version: str
    loaded: bool


class RetreatOut(Out, frozen=True):
    """Since when a canary doesn't answer any more, and what the worker on `host` saw of it."""

    at: str
    why: str
    host: str


class CanaryOut(Out, frozen=True):
    """The version that answers for a `share` of the subjects, unless it retreated."""

    version: str
    loaded: bool
    share: float | None
    retreated: RetreatOut | None


class HarmModels(Out, frozen=True):
    """A harm's versions: `serving` answers in this worker, `aliases` is what the registry says, `refused` why not.

    `champion` is the version that should answer, `previous` the one before, when it is at hand.
    """

    harm: str
    model: str
    serving: str | None
    champion: VersionOut | None
    canary: CanaryOut | None
    challenger: VersionOut | None
    previous: str | None
    aliases: Mapping[str, str]
    converged: bool
    refused: Mapping[str, str]


class ModelsOut(Out, frozen=True):
    """`checkedAt` is when the registry last answered."""

    checked_at: str | None
    models: tuple[HarmModels, ...]


def lead_out(lead: Lead) -> LeadOut:
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
    )


def claimed_out(lead: Lead, title: str, item: ItemCreated | None) -> ClaimedLead:
    return ClaimedLead(
        id=lead.id,
        subject=subject_out(lead.subject, item),
        harm=lead.harm,
        harm_title=title,
        model=model_name(lead.harm),
        model_version=lead.model_version,
        reasons=tuple(ReasonOut(code=x.code, text=x.text) for x in lead.reasons),
        lease_until=clock.to_text(lead.lease_until or 0),
    )


def detail_out(lead: Lead, item: ItemCreated | None, history: list[LoggedEvent]) -> LeadDetail:
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
    return LeadDetail(lead=lead_out(lead), subject=subject_out(lead.subject, item), signals=tuple(signals))


def trail_out(id_: str, entries: list[AuditEntry]) -> TrailOut:
    out = [AuditOut(at=clock.to_text(x.at), action=x.action, actor=x.actor, detail=x.detail) for x in entries]
    return TrailOut(lead_id=id_, entries=tuple(out))


def decided_out(decided: Decided) -> DecidedOut:
    return DecidedOut(
        subject=ref_out(decided.subject),
        harm=decided.harm,
        verdict=decided.ruling.verdict,
        by=decided.ruling.by,
        reviewer=decided.ruling.reviewer,
        lead_id=decided.lead.id if decided.lead else None,
        state=decided.lead.state if decided.lead else None,
        repeated=decided.repeated,
    )


def models_out(served: list[Served], checked_at: int) -> ModelsOut:
    return ModelsOut(checked_at=time_text(checked_at or None), models=tuple(_harm_models(x) for x in served))


def _harm_models(one: Served) -> HarmModels:
    canary = None
    if one.published.canary is not None:
        gone = one.retreat
        canary = CanaryOut(
            version=one.published.canary,
            loaded=one.published.canary in one.loaded,
            share=one.share,
            retreated=RetreatOut(at=clock.to_text(gone.at), why=gone.why, host=gone.host) if gone else None,
        )
    return HarmModels(
        harm=one.harm,
        model=model_name(one.harm),
        serving=one.serving,
        champion=_version_out(one, one.published.champion),
        canary=canary,
        challenger=_version_out(one, one.published.challenger),
        previous=one.previous,
        aliases=one.published.aliases,
        converged=one.converged,
        refused=one.refused,
    )


def _version_out(one: Served, version: str | None) -> VersionOut | None:
    return None if version is None else VersionOut(version=version, loaded=version in one.loaded)


def ref_out(subject: Subject) -> Ref:
    return Ref(subject.id, subject.type_id)


def subject_out(subject: Subject, item: ItemCreated | None) -> SubjectIn:
    if item is None:
        return SubjectIn(subject.id, subject.type_id)
    parent = Ref(item.parent.id, item.parent.type_id) if item.parent else None
    return SubjectIn(subject.id, subject.type_id, ItemData(item.text or None, item.account_id, parent, item.duration_s))
