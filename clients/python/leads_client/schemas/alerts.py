"""Alerts and silences: requests, responses, and what the webhook sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from leads_client.fields import Name, Prose, RuleOrAll, SomeProse
from leads_client.schemas.base import In, Instant, Out, Time, one_of

AlertState = Literal["firing", "acknowledged", "resolved"]
AlertFilter = Literal["open", AlertState, "any"]
Severity = Literal["page", "digest"]
RetrainingState = Literal["waiting", "running", "done", "failed", "skipped"]


class AlertOut(Out, frozen=True):
    """An alert: a measured value beyond the limit of a rule.

    Args:
        rule: the rule's name, such as `inputs_missing`.
        harm: null for the whole platform.
        slice: what the value is about, such as `column` or `type`; empty for everything, and for rules that have one
            alert per harm.
        version: the model version that was measured; null where none is concerned.
        severity: `page` is sent at once, `digest` once a day.
        state: `acknowledged` after somebody said that they look after it. It resolves by itself.
        title: what happened.
        moved: the measured value and its limit, as a sentence.
        metric: the name of the measured value.
        value, lo, hi: the newest measured value and its bounds.
        since: the start of the first window in which the rule was broken.
        opened_at, seen_at: when it was first and last found broken.
        note: why it was resolved, if not because values returned; or what was noted when it was acknowledged.
        todo: what to do first.
        runbook: the page of the documentation that says more, as a path in the platform's repository, such as
            `docs/runbook/drift.md`.
    """

    id: str
    rule: str
    harm: str | None
    slice: Mapping[str, str]
    version: str | None
    severity: Annotated[str, one_of(Severity)]
    state: Annotated[str, one_of(AlertState)]
    title: str
    moved: str
    metric: str
    value: float | None
    lo: float | None
    hi: float | None
    limit: float
    since: Instant
    opened_at: Instant
    seen_at: Instant
    resolved_at: Instant | None
    acknowledged_by: str | None
    acknowledged_at: Instant | None
    note: str | None
    todo: str
    runbook: str


class AlertsOut(Out, frozen=True):
    """Alerts, newest first. `nextCursor` is null on the last page."""

    alerts: tuple[AlertOut, ...]
    next_cursor: str | None


class HappenedOut(Out, frozen=True):
    """Something else that happened around the time of an alert."""

    at: Instant
    what: str


class OtherSliceOut(Out, frozen=True):
    """A slice in which the same rule is broken.

    Args:
        deviation: how far the bound that counts is beyond the limit.
    """

    slice: Mapping[str, str]
    value: float | None
    deviation: float


class AffectedOut(Out, frozen=True):
    """The leads that may be wrong.

    Args:
        open_leads: leads that were opened since the alert's `since` and are still open.
        decided: reviews since then that ended with a verdict.
        query: the path that lists the open ones.
    """

    open_leads: int
    decided: int
    query: str


class RetrainingOut(Out, frozen=True):
    """A retraining that the alert started, and its result."""

    state: Annotated[str, one_of(RetrainingState)]
    at: Instant
    result: str


class AlertDetail(Out, frozen=True):
    """An alert with its explanation.

    Args:
        window_since, window_until: the newest window in which the rule was broken.
        n: how many rows, events or decisions the value is based on.
        method: how it was measured.
        before: the newest value from before that was within the limit; null if there is none.
        slices: other slices in which the rule is broken, the worst first. Of a rule with one alert per harm: everything
            that is beyond its limit, the most important first.
        also: what else happened around that time, newest first: other versions, other policies, other alerts.
        retraining: null if the alert started none.
    """

    alert: AlertOut
    window_since: Instant
    window_until: Instant
    n: int
    method: str
    before: float | None
    slices: tuple[OtherSliceOut, ...]
    also: tuple[HappenedOut, ...]
    affected: AffectedOut | None
    retraining: RetrainingOut | None


class AcknowledgeIn(In, frozen=True):
    """Say that you look after an alert. Nothing more is sent about it."""

    note: Prose = ""


class SilenceIn(In, frozen=True):
    """Send nothing about a rule's alerts until a time.

    Args:
        rule: a rule's name, or `*` for all.
        harm: only this harm; null for all.
        until: at most 90 days from now.
    """

    rule: RuleOrAll
    until: Time
    why: SomeProse
    harm: Name | None = None


class SilenceOut(Out, frozen=True):
    """A silence.

    Args:
        rule: a rule's name, or `*` for all.
        harm: null for all.
        ended_at: when it was ended before `until`; null if it wasn't.
        active: whether it holds now.
    """

    id: str
    rule: str
    harm: str | None
    until: Instant
    by: str
    why: str
    created_at: Instant
    ended_at: Instant | None
    active: bool


class SilencesOut(Out, frozen=True):
    """Silences, newest first."""

    silences: tuple[SilenceOut, ...]


class AlertGroup(Out, frozen=True):
    """The `data` of the webhook's `alert.opened`, `alert.worsened`, `alert.resolved` and `alert.retrained`.

    Args:
        count: how many alerts of this rule and harm the message is about; `alerts` has the worst of them.
    """

    rule: str
    harm: str | None
    severity: Annotated[str, one_of(Severity)]
    title: str
    count: int
    alerts: tuple[AlertDetail, ...]


class AlertMessage(Out, frozen=True):
    """What the webhook sends about alerts of a rule and harm. `type` says what happened to them."""

    type: str
    timestamp: Instant
    data: AlertGroup


class DigestGroup(Out, frozen=True):
    """The open alerts of a rule and harm in a digest.

    Args:
        count: how many there are; `alerts` has the most important of them.
    """

    rule: str
    harm: str | None
    severity: Annotated[str, one_of(Severity)]
    title: str
    count: int
    alerts: tuple[AlertOut, ...]


class Digest(Out, frozen=True):
    """The alerts that are open, the most important first, and how many resolved since the last digest."""

    since: Instant
    until: Instant
    count: int
    groups: tuple[DigestGroup, ...]
    resolved: int


class DigestMessage(Out, frozen=True):
    """What the webhook sends once a day. `type` is `alerts.digest`."""

    type: str
    timestamp: Instant
    data: Digest
