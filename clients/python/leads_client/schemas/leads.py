"""Requests and responses of the review queue and of `GET /v1/models`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from leads_client.fields import DecidedBy, Id, Name, Verdict
from leads_client.schemas.base import Harms, In, Out, ReasonOut, Ref, RefOut, SubjectOut, WeighedReason

StateFilter = Literal["open", "claimed", "decided", "escalated", "withdrawn", "any"]


class ClaimIn(In, frozen=True):
    reviewer: Id
    n: Annotated[int, Meta(ge=1, le=100)] = 1
    harms: Harms | None = None


class ReleaseIn(In, frozen=True):
    reviewer: Id


class DecisionIn(In, frozen=True):
    """A verdict on a lead."""

    verdict: Verdict
    reviewer: Id
    by: DecidedBy = "human"
    reason: Annotated[str, Meta(max_length=2_000)] = ""


class SubjectDecisionIn(DecisionIn, frozen=True, kw_only=True):
    """A verdict on a subject under a harm. `appeal` must be set to overturn an earlier human decision."""

    subject: Ref
    harm: Name
    appeal: bool = False


class LeadOut(Out, frozen=True):
    """A lead with everything that operators of the queue see."""

    id: str
    subject: RefOut
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
    """Leads in order of priority, highest first. `nextCursor` is null on the last page."""

    leads: tuple[LeadOut, ...]
    next_cursor: str | None


class ClaimedLead(Out, frozen=True):
    """A lead as its reviewer sees it: without score, tier and priority, which could bias the verdict."""

    id: str
    subject: SubjectOut
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
    """A lead, its subject's content, and the signals about it, oldest first."""

    lead: LeadOut
    subject: SubjectOut
    signals: tuple[SignalOut, ...]


class AuditOut(Out, frozen=True):
    at: str
    action: str
    actor: str
    detail: Mapping[str, Any]


class TrailOut(Out, frozen=True):
    """A lead's audit trail, oldest first."""

    lead_id: str
    entries: tuple[AuditOut, ...]


class ReleasedOut(Out, frozen=True):
    id: str
    state: str


class DecidedOut(Out, frozen=True):
    """The decision that stands. `repeated`: it stood already, and nothing changed."""

    subject: RefOut
    harm: str
    verdict: str
    by: str
    reviewer: str
    lead_id: str | None
    state: str | None
    repeated: bool


class VersionOut(Out, frozen=True):
    """A version in its role. `loaded`: this process has loaded and verified it."""

    version: str
    loaded: bool


class RetreatOut(Out, frozen=True):
    """Since when a canary has been out of service, why, and the `host` that observed it."""

    at: str
    why: str
    host: str


class CanaryOut(Out, frozen=True):
    """The version that serves a `share` of the subjects, unless it retreated."""

    version: str
    loaded: bool
    share: float | None
    retreated: RetreatOut | None


class HarmModels(Out, frozen=True):
    """A harm's versions. `serving` is the one this process uses. `refused` says why a version is not loaded.

    `aliases` are the registry's. `champion` is the version that should serve. `previous` is the previous champion, if
    it is available.
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
    """`checkedAt` is when the registry last responded."""

    checked_at: str | None
    models: tuple[HarmModels, ...]
