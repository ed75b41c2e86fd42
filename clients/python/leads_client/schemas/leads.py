"""Requests and responses of the review queue and of `GET /v1/models`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from leads_client import fields
from leads_client.fields import DecidedBy, Id, LeadId, LeadState, Name, Prose, SignalKind, Tier, Verdict
from leads_client.schemas.base import (
    Harms,
    In,
    Instant,
    Out,
    ReasonOut,
    Ref,
    RefOut,
    SubjectOut,
    WeighedReason,
    one_of,
)

StateFilter = Literal[LeadState, "any"]

Reviewer = Annotated[
    fields.Reviewer,
    Meta(description="Who reviews. Default: the key's own reviewer. Naming another one needs the scope act_as."),
]
ContentVersion = Annotated[
    str, Meta(max_length=64, description="The `contentVersion` that came with the lead, unchanged.")
]


class ClaimIn(In, frozen=True):
    """Claim up to `n` leads. Without `harms`: under every harm that the key may access.

    Leads that this reviewer released within the last ten minutes come last. Those in `exclude` are left out.
    """

    reviewer: Reviewer | None = None
    n: Annotated[int, Meta(ge=1, le=100)] = 1
    harms: Harms | None = None
    exclude: Annotated[tuple[LeadId, ...], Meta(max_length=100, description="Ids of leads not to claim.")] = ()


class ReleaseIn(In, frozen=True):
    """Release a lead that this reviewer has claimed."""

    reviewer: Reviewer | None = None


class ExtendIn(In, frozen=True):
    """Extend the lease of a lead that this reviewer has claimed."""

    reviewer: Reviewer | None = None


class DecisionIn(In, frozen=True):
    """A verdict on a lead, about the content that the reviewer was shown.

    `content_version` says which that was; by default it is what the reviewer's claim showed. A reviewer who doesn't
    hold the lead sends it, or `review_id`. If the content has changed since, the answer is 409, unless `on_old_content`
    says that the verdict is about the old content.
    """

    verdict: Verdict
    reviewer: Reviewer | None = None
    by: Annotated[DecidedBy, Meta(description="`human`. API callers can't decide as `automation`.")] = "human"
    reason: Prose = ""
    review_id: Annotated[Id, Meta(description="The `reviewId` of the claim that led to the verdict.")] | None = None
    content_version: ContentVersion | None = None
    on_old_content: bool = False


class SubjectDecisionIn(DecisionIn, frozen=True, kw_only=True):
    """A verdict on a subject under a harm. `appeal` must be set to overturn an earlier human decision."""

    subject: Ref
    harm: Name
    appeal: bool = False


class LeadOut(Out, frozen=True):
    """A lead with everything that operators of the queue see.

    `priority` is score × severity × exposure × 2^(hours waited / `aging_hours`). Above 1e300 it only shows the order.
    `contentChanged`: the subject has been edited and not been scored again yet, so `score` and `reasons` are about the
    earlier content.
    """

    id: str
    subject: RefOut
    harm: str
    state: Annotated[str, one_of(LeadState)]
    score: float
    tier: Annotated[str, one_of(Tier)]
    model: str
    model_version: str
    prediction_id: str
    reasons: tuple[WeighedReason, ...]
    priority: float
    created_at: Instant
    scored_at: Instant
    claimed_by: str | None
    lease_until: Instant | None
    decided_at: Instant | None
    verdict: Annotated[str, one_of(Verdict)] | None
    content_changed: bool = False


class LeadsOut(Out, frozen=True):
    """Leads in order of priority, highest first. `nextCursor` is null on the last page."""

    leads: tuple[LeadOut, ...]
    next_cursor: str | None


class NewContent(Out, frozen=True):
    """What a subject holds now, and the name of this version."""

    content_version: str
    subject: SubjectOut


class ClaimedLead(Out, frozen=True):
    """A lead as its reviewer sees it: without score, tier and priority, which could bias the verdict.

    `reviewId` names this look at the lead, and `contentVersion` the content that it shows. `newContent` is what the
    subject holds now, if it has been edited since; null otherwise. `contentChanged`: the content that is shown is not
    the one that was scored, because the subject was edited in between. `reasons` is empty then: they would be about the
    other content. `scoredAt` is when the subject was scored; times in `reasons`, such as "6 minutes ago", are as of
    then. `createdAt` is when it became a lead. Both are empty in a client that reads an older service.
    """

    id: str
    review_id: str
    content_version: str
    subject: SubjectOut
    harm: str
    harm_title: str
    model: str
    model_version: str
    reasons: tuple[ReasonOut, ...]
    lease_until: Instant
    created_at: Instant = ""
    scored_at: Instant = ""
    new_content: NewContent | None = None
    content_changed: bool = False


class ClaimedOut(Out, frozen=True):
    """The leads that were claimed, with the highest priority first; none if none are open."""

    leads: tuple[ClaimedLead, ...]


class HeldOut(Out, frozen=True):
    """The leads that a reviewer holds, with those whose lease runs out first at the front."""

    reviewer: str
    leads: tuple[ClaimedLead, ...]


class SignalOut(Out, frozen=True):
    """A signal about a lead's subject. `score` is that of a classifier, `harm` null if it concerns them all."""

    kind: Annotated[str, one_of(SignalKind)]
    source: str
    harm: str | None
    score: float | None
    occurred_at: Instant


class LeadDetail(Out, frozen=True):
    """A lead, its subject's current content and its version, and the newest 200 signals about it, oldest first."""

    lead: LeadOut
    content_version: str
    subject: SubjectOut
    signals: tuple[SignalOut, ...]


class AuditOut(Out, frozen=True):
    """A change of a lead. `key` is the id of the API key that the actor used; null for Lead Serving's own changes.

    The fields of `detail` depend on the `action`.
    """

    at: Instant
    action: str
    actor: str
    key: str | None
    detail: Mapping[str, Any]


class TrailOut(Out, frozen=True):
    """The newest 1,000 entries of a lead's audit trail, oldest first."""

    lead_id: str
    entries: tuple[AuditOut, ...]


class ReleasedOut(Out, frozen=True):
    """The lead and its state after the release."""

    id: str
    state: Annotated[str, one_of(LeadState)]


class ExtendedOut(Out, frozen=True):
    """The lead and when its lease ends now."""

    id: str
    lease_until: Instant


class DecidedOut(Out, frozen=True):
    """The decision that stands, and the content version it is about.

    `repeated`: it stood already, and nothing changed.
    """

    subject: RefOut
    harm: str
    verdict: Annotated[str, one_of(Verdict)]
    by: Annotated[str, one_of(DecidedBy)]
    reviewer: str
    lead_id: str | None
    review_id: str | None
    content_version: str
    state: Annotated[str, one_of(LeadState)] | None
    repeated: bool


class VersionOut(Out, frozen=True):
    """A version in its role. `loaded`: this process has loaded and verified it."""

    version: str
    loaded: bool


class RetreatOut(Out, frozen=True):
    """Since when a canary has been out of service, why, and the `host` that observed it."""

    at: Instant
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

    checked_at: Instant | None
    models: tuple[HarmModels, ...]
