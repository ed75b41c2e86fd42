"""Opens, changes and resolves alerts, and writes the messages about them, all in one transaction.

A run that is killed has changed nothing, and a run that judges the same values again changes nothing more: at most one
alert is open for a rule, harm and slice, and each alert records whether it was sent.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy.engine import Connection

from leads import clock
from leads.alerting.alert import Affected, Alert, Detail, Happened, Retraining
from leads.alerting.rules import Rule
from leads.clock import Micros
from leads.db import cursors
from leads.db.engine import reading
from leads.db.monitoring import alerts
from monitoring.alerts import surroundings
from monitoring.alerts.describing import SLICES_SHOWN, detail_of
from monitoring.alerts.joining import JOINED
from monitoring.alerts.judging import Finding, Key, concerns, only_threshold_grew, rules_of
from monitoring.alerts.measured import Judged, judged
from monitoring.alerts.messages import ORDER, Changes, send
from monitoring.watch.values import finite
from monitoring.watch.world import World

# An alert whose metric wasn't measured for this long after it was last broken resolves.
GONE: Micros = 2 * clock.DAY
_NOT_MEASURED = "It wasn't measured any more for two days."
_SWITCHED_OFF = "The rule was switched off for it in policies.yaml."
_JOINED = "One alert of the harm is about it now."
_TOGETHER = "One alert of several harms is about it now."
_PASSED = "It was over when monitoring ran again: nothing was judged from {last} to {now}."
# The cursor that holds the time of the last judgement.
_LAST = "alerts-judged"
_log = logging.getLogger(__name__)


def judge(world: World, run: str) -> Changes:
    """Judge the newest measured values at `world.now`.

    Args:
        run: the id of the run that measured them.

    Raises:
        Unavailable: the database doesn't respond.
    """
    rules = rules_of(world.policies.monitoring)
    with reading(world.engine) as connection:
        last = cursors.position(connection, _LAST)
    found = judged(world, rules, last)
    with world.engine.begin() as connection:
        alerts.lock(connection)
        surroundings.record_policy(connection, run, world.policies.digest, world.now)
        changes = _Transaction(connection, world, rules, found, last).apply()
        cursors.move(connection, _LAST, world.now)
        digest = send(connection, world.policies.monitoring, changes, world.now)
    changes = changes._replace(digest=digest)
    _tell(changes)
    return changes


class _Transaction:
    """The changes of one judgement."""

    def __init__(
        self,
        connection: Connection,
        world: World,
        rules: Mapping[str, Rule],
        judged_: Judged,
        last: Micros,
    ) -> None:
        self._connection = connection
        self._world = world
        self._now = world.now
        self._rules = rules
        self._last = last
        self._found, self._passed, self._importance = judged_
        self._before = {(one.rule, one.harm, one.slice): one for one in alerts.unresolved(connection)}
        self._of_rule: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for finding in self._found.values():
            self._of_rule[finding.rule.name, finding.harm].append(finding)
        self._happened: dict[tuple[str, str, Micros], list[Happened]] = {}
        self._retrained = {
            one.harm: one.seq
            for one in self._before.values()
            if one.detail.retraining and one.detail.retraining.state in ("waiting", "running")
        }

    def apply(self) -> Changes:
        resolved, still = [], []
        for key, alert in self._before.items():
            note = self._why_gone(key, alert)
            finding = self._found.get(key)
            if note is not None or (finding is not None and _is_over(alert, finding)):
                resolved.append(self._resolve(alert, finding, note))
            else:
                still.append(alert if finding is None else self._update(alert, finding))
        new = [finding for key, finding in self._found.items() if finding.fires and key not in self._before]
        opened = [self._open(finding) for finding in sorted(new, key=_importance_first)]
        for finding in sorted(self._passed, key=_importance_first):
            if finding.key not in self._before:
                now = self._found.get(finding.key)
                over = now is None or now.quiet
                (resolved if over else opened).append(self._open_late(finding) if over else self._open(finding))
        return Changes(opened, [*still, *self._explained(opened, still)], resolved)

    def _open_late(self, finding: Finding) -> Alert:
        """An alert that opened and resolved while nothing was judged: for the history, and the digest."""
        opened = self._open(finding, retrain=False)
        note = _PASSED.format(last=clock.to_text(self._last), now=clock.to_text(self._now))
        return self._resolve(self._explained([opened], [])[0], None, note)

    def _why_gone(self, key: Key, alert: Alert) -> str | None:
        """Why an alert resolves although its value didn't return; None if it doesn't."""
        policy, harms = self._world.policies.monitoring, self._world.policies.harms
        if alert.rule not in self._rules or not concerns(policy, alert.rule, alert.harm, harms):
            return _SWITCHED_OFF
        if self._rules[alert.rule].joined and alert.slice != JOINED:
            # An earlier release had an alert for each slice.
            return _JOINED
        if key not in self._found and any(
            (one.rule.name, one.slice) == (alert.rule, alert.slice) and alert.harm in one.joins
            for one in self._found.values()
        ):
            # And one for each harm.
            return _TOGETHER
        if key not in self._found and self._now - alert.seen_at > GONE:
            return _NOT_MEASURED
        return None

    def _resolve(self, alert: Alert, finding: Finding | None, note: str | None) -> Alert:
        changed = alert._replace(state="resolved", resolved_at=self._now, note=note or alert.note)
        if finding is not None:
            row = finding.row
            changed = changed._replace(value=finite(row.value), lo=finite(row.lo), hi=finite(row.hi))
        self._store(changed, "state", "resolved_at", "note", "value", "lo", "hi")
        return changed

    def _update(self, alert: Alert, finding: Finding) -> Alert:
        row, rule = finding.row, finding.rule
        changed = alert._replace(
            severity=rule.severity, limit=rule.limit, value=finite(row.value), lo=finite(row.lo), hi=finite(row.hi)
        )
        if finding.fires:
            importance = self._importance_of(finding, alert.detail.importance)
            detail = detail_of(finding, self._same(finding), importance=importance)
            kept = {
                "also": alert.detail.also,
                "retraining": alert.detail.retraining,
                # What moved first must return below where it began, whatever its threshold is by then.
                "thresholds": {**detail.thresholds, **alert.detail.thresholds},
            }
            changed = changed._replace(
                seen_at=self._now,
                version=finding.version,
                worst=max(alert.worst or 0.0, finite(finding.deviation) or 0.0),
                detail=msgspec.structs.replace(detail, affected=self._affected(alert), **kept),
            )
            if alert.state == "acknowledged" and _is_about_more(rule, detail, alert):
                # Whoever looks after what has differed from training for weeks doesn't know of what began today.
                changed = changed._replace(
                    state="firing", acknowledged_by=None, acknowledged_at=None, sent_at=None, sent_worst=None
                )
        names = ("severity", "limit", "value", "lo", "hi", "seen_at", "version", "worst", "detail")
        self._store(changed, *names, "state", "acknowledged_by", "acknowledged_at", "sent_at", "sent_worst")
        return changed

    def _open(self, finding: Finding, *, retrain: bool = True) -> Alert:
        rule, row = finding.rule, finding.row
        made = Alert(
            0, rule.name, finding.harm, finding.slice, finding.version, rule.severity, "firing",
            since=finding.since, opened_at=self._now, seen_at=self._now, resolved_at=None, sent_at=None,
            sent_worst=None, value=finite(row.value), lo=finite(row.lo), hi=finite(row.hi), limit=rule.limit,
            worst=finite(finding.deviation),
            detail=detail_of(
                finding,
                self._same(finding),
                importance=self._importance_of(finding, 1.0),
                retraining=self._retraining(finding) if retrain else None,
            ),
            acknowledged_by=None, acknowledged_at=None, note=None,
        )  # fmt: skip
        seq = alerts.add(self._connection, made)
        if made.detail.retraining is not None and made.detail.retraining.state == "waiting":
            self._retrained[made.harm] = seq
        return made._replace(seq=seq)

    def _explained(self, opened: Sequence[Alert], still: Sequence[Alert]) -> list[Alert]:
        """The alerts that opened, with what else happened: also each other."""
        explained = []
        for alert in opened:
            others = [one for one in (*opened, *still) if one.rule != alert.rule]
            key = alert.rule, alert.harm, alert.since
            if key not in self._happened:
                self._happened[key] = surroundings.happened(
                    self._connection, alert.harm, alert.since, self._now, _one_of_each(others)
                )
            also = tuple(one for one in self._happened[key] if one.what != alert.detail.title)
            detail = msgspec.structs.replace(alert.detail, also=also, affected=self._affected(alert))
            explained.append(alert._replace(detail=detail))
            self._store(explained[-1], "detail")
        return explained

    def _affected(self, alert: Alert) -> Affected:
        return surroundings.affected(self._connection, alert.harm, alert.slice, alert.since)

    def _importance_of(self, finding: Finding, unknown: float) -> float:
        """The importance of the input that an alert is about, of several that of the first."""
        return self._importance.get(finding.among[0].key if finding.among else finding.key, unknown)

    def _same(self, finding: Finding) -> list[Finding]:
        return self._of_rule[finding.rule.name, finding.harm]

    def _retraining(self, finding: Finding) -> Retraining | None:
        """What is to be done if the policy wants a retraining: one for a harm at a time."""
        own = self._world.policies.monitoring.rules.get(finding.rule.name)
        if own is None or not own.retrain or not finding.harm:
            return None
        other = self._retrained.get(finding.harm)
        if other is not None:
            return Retraining("skipped", self._now, f"Alert {other} retrains {finding.harm} already.")
        return Retraining("waiting", self._now)

    def _store(self, alert: Alert, *names: str) -> None:
        alerts.change(self._connection, alert.seq, **{name: getattr(alert, name) for name in names})


def _is_over(alert: Alert, finding: Finding) -> bool:
    """Whether an alert resolves: its values have returned, instead of only their thresholds having grown."""
    return finding.quiet and not only_threshold_grew(finding, alert.detail.thresholds)


def _is_about_more(rule: Rule, now: Detail, alert: Alert) -> bool:
    """Whether an alert has come to be about something of which whoever acknowledged it may not know: another baseline,
    another harm that isn't scored, another feed of the platform."""
    if set(now.baselines) - set(alert.detail.baselines):
        return True
    if rule.of_all:
        return bool(set(now.harms) - set(alert.harms))
    known = {one.slice for one in alert.detail.slices}
    # Beyond what is listed, nobody knows which are new.
    return (
        rule.joined and not alert.harm and len(known) < SLICES_SHOWN and bool({one.slice for one in now.slices} - known)
    )


def _importance_first(finding: Finding) -> tuple[bool, int, float]:
    """The order in which alerts that open together are numbered: pages first, then as the rules are listed."""
    return finding.rule.severity != "page", ORDER[finding.rule.name], -finding.deviation


def _one_of_each(others: Iterable[Alert]) -> list[Alert]:
    """The oldest alert of each rule and harm: fifty inputs that moved are one thing that happened."""
    first: dict[tuple[str, str], Alert] = {}
    for alert in sorted(others, key=lambda one: one.since):
        first.setdefault((alert.rule, alert.harm), alert)
    return list(first.values())


def _tell(changes: Changes) -> None:
    """A line in the log for each alert that opened or resolved."""
    for what, changed in (("opened", changes.opened), ("resolved", changes.resolved)):
        for alert in changed:
            level = logging.WARNING if what == "opened" and alert.severity == "page" else logging.INFO
            fields = {
                "alert": alert.seq, "rule": alert.rule, "harm": alert.harm or None, "severity": alert.severity,
                "slice": alert.slice or None, "value": alert.value, "limit": alert.limit,
            }  # fmt: skip
            _log.log(level, "alert %d %s: %s", alert.seq, what, alert.detail.title, extra={"fields": fields})
