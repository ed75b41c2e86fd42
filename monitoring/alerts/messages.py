"""Which alerts a message is written about, and the messages themselves.

Pages are sent when they open, when they get much worse, and when they resolve; alerts of one rule and harm that do so
together are one message. Everything else waits for the digest, once a day. Alerts that are silenced aren't sent; when
the silence ends, those that are still open are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.engine import Connection

from leads import clock
from leads.alerting.alert import Alert, AlertState
from leads.alerting.out import alert_out, detail_out
from leads.alerting.policy import MonitoringPolicy
from leads.alerting.rules import RULES, Severity
from leads.clock import Micros
from leads.db import cursors
from leads.db.monitoring import alerts, silences
from leads.db.monitoring.silences import Silence
from leads.db.outbox import messages
from leads_client.schemas.alerts import AlertGroup, AlertMessage, Digest, DigestGroup, DigestMessage

TOPIC = "alerts"
DIGEST = "alerts.digest"
# A message about an alert that got worse: at least this many times as bad as at the last one, and not before an hour.
WORSE = 2.0
WORSE_AFTER: Micros = clock.HOUR
# Standard Webhooks recommends at most 20 KB.
MAX_BYTES = 20_000
SHOWN = 10
_DIGEST_GROUPS, _DIGEST_SHOWN = 30, 3
# The cursor that holds the time at which the last digest was due.
_SENT = "alerts-digest"
_RESOLVED: tuple[AlertState, ...] = ("resolved",)
# The place of each rule in their list.
ORDER = {name: place for place, name in enumerate(RULES)}


class Changes(NamedTuple):
    """What a judgement changed.

    Args:
        opened, resolved: alerts that did so now.
        open: all that are open now, those that opened included.
        digest: whether a digest was written.
    """

    opened: list[Alert]
    open: list[Alert]
    resolved: list[Alert]
    digest: bool = False


def send(connection: Connection, policy: MonitoringPolicy, changes: Changes, now: Micros) -> bool:
    """Write the messages that are due, and record which alerts they are about; returns whether a digest was written.

    Without a webhook, the log alone tells people. The alerts count as sent nevertheless.
    """
    silenced = silences.active(connection, now)
    pages = [one for one in changes.open if one.severity == "page" and one.state == "firing"]
    audible = _audible(pages, silenced)
    new = [one for one in audible if one.sent_at is None]
    worse = [one for one in audible if one.sent_at is not None and _is_worse(one, now)]
    over = [one for one in _audible(changes.resolved, silenced) if one.severity == "page" and one.sent_at is not None]
    for type_, concerned in (("alert.opened", new), ("alert.worsened", worse), ("alert.resolved", over)):
        for group in _groups(concerned):
            _put(connection, policy, "page", f"{group[0].rule}:{group[0].harm}", message_about(type_, group, now), now)
    _record(connection, (*new, *worse), now)
    return _send_digest(connection, policy, _audible(changes.open, silenced), now)


def message_about(type_: str, group: Sequence[Alert], now: Micros) -> bytes:
    """The body of a message about alerts of one rule and harm, the worst first. It has as many of them as fit."""
    first = group[0]
    shown = [detail_out(alert) for alert in group[:SHOWN]]
    while True:
        data = AlertGroup(
            rule=first.rule,
            harm=first.harm or None,
            severity=first.severity,
            title=first.detail.title if len(group) == 1 else f"{first.detail.title}, and {len(group) - 1} more",
            count=len(group),
            alerts=tuple(shown),
        )
        body = msgspec.json.encode(AlertMessage(type=type_, timestamp=clock.to_text(now), data=data))
        if len(body) <= MAX_BYTES or len(shown) == 1:
            return body
        shown.pop()


def digest_of(open_: Sequence[Alert], resolved: int, since: Micros, now: Micros) -> bytes:
    """The body of a digest: as many groups as fit, the most important first."""
    groups = [
        DigestGroup(
            rule=group[0].rule,
            harm=group[0].harm or None,
            severity=group[0].severity,
            title=group[0].detail.title if len(group) == 1 else f"{group[0].detail.title}, and {len(group) - 1} more",
            count=len(group),
            alerts=tuple(alert_out(alert) for alert in group[:_DIGEST_SHOWN]),
        )
        for group in _groups(open_)[:_DIGEST_GROUPS]
    ]
    while True:
        data = Digest(
            since=clock.to_text(since),
            until=clock.to_text(now),
            count=len(open_),
            groups=tuple(groups),
            resolved=resolved,
        )
        body = msgspec.json.encode(DigestMessage(type=DIGEST, timestamp=clock.to_text(now), data=data))
        if len(body) <= MAX_BYTES or len(groups) == 1:
            return body
        groups.pop()


def digest_due(policy: MonitoringPolicy, now: Micros) -> Micros:
    """The last time at or before `now` at which a digest was due."""
    at = now // clock.DAY * clock.DAY + policy.digest_hour * clock.HOUR
    return at if at <= now else at - clock.DAY


def ranked(concerned: Iterable[Alert]) -> list[Alert]:
    """Pages first, then in the order of the rules; within a rule by deviation × importance to the model."""
    return sorted(
        concerned,
        key=lambda one: (
            one.severity != "page",
            ORDER.get(one.rule, len(ORDER)),
            one.harm,
            -(one.worst or 0.0) * one.detail.importance,
            one.seq,
        ),
    )


def _send_digest(connection: Connection, policy: MonitoringPolicy, open_: list[Alert], now: Micros) -> bool:
    due, last = digest_due(policy, now), cursors.position(connection, _SENT)
    if last >= due:
        return False
    cursors.move(connection, _SENT, due)
    if not last:
        return False
    resolved = len(alerts.listing(connection, states=_RESOLVED, resolved_since=last))
    if not open_ and not resolved:
        return False
    _put(connection, policy, "digest", DIGEST, digest_of(ranked(open_), resolved, last, now), now)
    _record(connection, (one for one in open_ if one.severity == "digest"), now)
    return True


def _audible(concerned: Iterable[Alert], silenced: Sequence[Silence]) -> list[Alert]:
    return [one for one in concerned if silences.covering(silenced, one) is None]


def _is_worse(alert: Alert, now: Micros) -> bool:
    if alert.sent_worst is None or alert.worst is None or alert.sent_worst <= 0:
        return False
    return alert.worst >= WORSE * alert.sent_worst and now - (alert.sent_at or 0) >= WORSE_AFTER


def _groups(concerned: Iterable[Alert]) -> list[list[Alert]]:
    found: dict[tuple[str, str], list[Alert]] = defaultdict(list)
    for alert in ranked(concerned):
        found[alert.rule, alert.harm].append(alert)
    return list(found.values())


def _put(
    connection: Connection, policy: MonitoringPolicy, severity: Severity, key: str, body: bytes, now: Micros
) -> None:
    if policy.webhook is not None and severity in policy.webhook.severities:
        messages.put(connection, TOPIC, key, body, now)


def _record(connection: Connection, sent: Iterable[Alert], now: Micros) -> None:
    for alert in sent:
        alerts.change(connection, alert.seq, sent_at=now, sent_worst=alert.worst)
