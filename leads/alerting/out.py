"""Alerts as they are sent: in responses and by the webhook."""

from __future__ import annotations

from leads import clock
from leads.alerting.alert import Affected, Alert, Retraining
from leads.clock import Micros
from leads.estimates.slices import slice_parts
from leads_client.schemas.alerts import (
    AffectedOut,
    AlertDetail,
    AlertOut,
    HappenedOut,
    OtherSliceOut,
    RetrainingOut,
)

RUNBOOK = "docs/runbook"


def alert_out(alert: Alert) -> AlertOut:
    """An alert without its explanation."""
    return AlertOut(
        id=str(alert.seq),
        rule=alert.rule,
        harm=alert.harm or None,
        slice=slice_parts(alert.slice),
        version=alert.version or None,
        severity=alert.severity,
        state=alert.state,
        title=alert.detail.title,
        moved=alert.detail.moved,
        metric=alert.detail.metric,
        value=alert.value,
        lo=alert.lo,
        hi=alert.hi,
        limit=alert.limit,
        since=clock.to_text(alert.since),
        opened_at=clock.to_text(alert.opened_at),
        seen_at=clock.to_text(alert.seen_at),
        resolved_at=_time(alert.resolved_at),
        acknowledged_by=alert.acknowledged_by,
        acknowledged_at=_time(alert.acknowledged_at),
        note=alert.note,
        todo=alert.detail.todo,
        runbook=f"{RUNBOOK}/{alert.detail.page}.md",
    )


def detail_out(alert: Alert) -> AlertDetail:
    """An alert with its explanation."""
    detail = alert.detail
    return AlertDetail(
        alert=alert_out(alert),
        window_since=clock.to_text(detail.window_since),
        window_until=clock.to_text(detail.window_until),
        n=detail.n,
        method=detail.method,
        before=detail.before,
        slices=tuple(
            OtherSliceOut(slice=slice_parts(one.slice), value=one.value, deviation=one.deviation)
            for one in detail.slices
        ),
        also=tuple(HappenedOut(at=clock.to_text(one.at), what=one.what) for one in detail.also),
        affected=None if detail.affected is None else _affected(detail.affected),
        retraining=None if detail.retraining is None else _retraining(detail.retraining),
    )


def _affected(found: Affected) -> AffectedOut:
    return AffectedOut(open_leads=found.open, decided=found.decided, query=found.query)


def _retraining(found: Retraining) -> RetrainingOut:
    return RetrainingOut(state=found.state, at=clock.to_text(found.at), result=found.result)


def _time(at: Micros | None) -> str | None:
    return None if at is None else clock.to_text(at)
