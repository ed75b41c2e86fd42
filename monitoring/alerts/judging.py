"""Judges measured values by the rules: which are broken, and which are quiet again. Reads nothing and writes nothing.

Windows of each length are judged by themselves: a rule fires for a slice if it does in the windows of any length, and
is quiet if it is in those of every length. A window may hold values of several versions: the worst one counts, so that
a promotion doesn't hide what goes on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from leads import clock
from leads.alerting.policy import MonitoringPolicy
from leads.alerting.rules import RULES, Rule
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow

# Rules without a limit at which they clear need this many windows in which they aren't broken.
QUIET_WINDOWS = 3
# A value that stays is quiet within a threshold that is at most this many times the one above which it was.
_GROWN = 1.5
Key = tuple[str, str, str]


class Finding(NamedTuple):
    """What the newest windows say about a rule, for a harm and slice.

    Args:
        row: the value that counts: the newest of those that make it fire, or else the newest of all.
        since: the start of the first of the newest windows in which it was broken without a break, µs.
        fires: enough of the newest windows are broken.
        quiet: an open alert resolves. Between the two, nothing changes.
        before: the newest value of the same windows from before they were broken; None if there is none.
        among: of a joined rule, the findings that fire, the most important first. This one has the first one's figures.
        newest: where values have thresholds of their own, the values of the newest windows, of every length; of a
            joined rule, of everything that it joins.
        joins: of a joined rule, the harms whose findings it joins, whether they fire or not.
    """

    rule: Rule
    harm: str
    slice: str
    row: MetricRow
    since: Micros
    fires: bool
    quiet: bool
    before: float | None
    among: tuple[Finding, ...] = ()
    newest: tuple[MetricRow, ...] = ()
    joins: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """At most one alert is open for it."""
        return self.rule.name, self.harm, self.slice

    @property
    def version(self) -> str:
        """The version of the harm that was measured; empty if none is concerned."""
        rows = (self.row, *(one.row for one in self.among))
        return next((row.version for row in rows if row.version and row.harm == self.harm), "")

    @property
    def harms(self) -> tuple[str, ...]:
        """The harms for which it fires, its own first."""
        found = {one.harm for one in self.among} or {self.harm}
        return tuple(sorted(found, key=lambda harm: (harm != self.harm, harm)))

    @property
    def deviation(self) -> float:
        """How far the bound that counts is beyond the limit; negative if it is within."""
        return deviation(self.rule, self.row) or 0.0


def rules_of(policy: MonitoringPolicy) -> dict[str, Rule]:
    """The rules that are switched on, with the policy's changes."""
    changed = {}
    for rule in RULES.values():
        own = policy.rules.get(rule.name)
        if own is None:
            changed[rule.name] = rule
        elif own.enabled:
            made = rule if own.severity is None else rule._replace(severity=own.severity)
            changed[rule.name] = made if own.limit is None else _with_limit(made, own.limit)
    return changed


def concerns(policy: MonitoringPolicy, rule: str, harm: str, harms: Collection[str]) -> bool:
    """Whether a rule judges a harm: one that exists, and that the policy doesn't leave out."""
    own = policy.rules.get(rule)
    if not harm:
        return True
    return harm in harms and (own is None or own.harms is None or harm in own.harms)


def deviation(rule: Rule, row: MetricRow) -> float | None:
    """How far the bound that is nearest to the limit is beyond it; negative if it is within, None without a value."""
    if rule.direction == "above":
        bound = row.value if row.lo is None else row.lo
        return None if bound is None else bound - rule.limit
    bound = row.value if row.hi is None else row.hi
    return None if bound is None else rule.limit - bound


def findings(rows: Iterable[MetricRow], rules: Mapping[str, Rule], now: Micros) -> list[Finding]:
    """Judge the newest windows.

    Args:
        rows: the values of the newest windows, in any order.
        rules: by name.
        now: windows that end later aren't over: they can break a rule, but don't make it quiet.
    """
    found = []
    for (name, harm, slice_), by_length in _series(rows, rules).items():
        rule = rules[name]
        judged = [_judge(rule, harm, slice_, of_length, now) for of_length in by_length.values()]
        found.append(_joined([one for one in judged if one is not None]))
    return [one for one in found if one is not None]


def fired_since(rows: Iterable[MetricRow], rules: Mapping[str, Rule], since: Micros, now: Micros) -> list[Finding]:
    """What fires if each window that ended in since < until ≤ now is judged when it ends; of each key the worst."""
    worst: dict[Key, Finding] = {}
    for (name, harm, slice_), by_length in _series(rows, rules).items():
        rule = rules[name]
        for of_length in by_length.values():
            for end in {row.until for row in of_length if since < row.until <= now and _beyond(rule, row) > 0}:
                one = _judge(rule, harm, slice_, [row for row in of_length if row.until <= end], end)
                if one is not None and one.fires:
                    held = worst.setdefault(one.key, one)
                    worst[one.key] = max(held, one, key=lambda found: (found.deviation, found.row.until))
    return list(worst.values())


def _series(rows: Iterable[MetricRow], rules: Mapping[str, Rule]) -> dict[Key, dict[Micros, list[MetricRow]]]:
    """The values that rules judge, by rule, harm and slice, and by the length of their windows."""
    by_metric: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules.values():
        by_metric[rule.metric].append(rule)
    series: dict[Key, dict[Micros, list[MetricRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for rule in by_metric.get(row.name, ()):
            if deviation(rule, row) is not None:
                series[rule.name, row.harm, row.slice][row.until - row.since].append(row)
    return series


def _judge(rule: Rule, harm: str, slice_: str, rows: Sequence[MetricRow], now: Micros) -> Finding | None:
    """Judge the windows of one length; None if none counts."""
    worst: dict[Micros, MetricRow] = {}
    for row in rows:
        held = worst.get(row.until)
        if held is None or _beyond(rule, row) > _beyond(rule, held):
            worst[row.until] = row
    windows = [worst[end] for end in sorted(worst, reverse=True)]
    # A window that isn't over says nothing by being within the limit.
    windows = [row for row in windows if row.until <= now or _beyond(rule, row) > 0]
    if not windows:
        return None
    newest = windows[: rule.of_windows]
    broken = [row for row in newest if _beyond(rule, row) > 0]
    fires = len(broken) >= rule.broken_windows
    run = _first_run(rule, windows)
    return Finding(
        rule,
        harm,
        slice_,
        row=broken[0] if fires else windows[0],
        since=(run[-1] if run else windows[0]).since,
        fires=fires,
        quiet=not fires and _is_quiet(rule, windows),
        before=next((row.value for row in windows if _beyond(rule, row) <= 0), None),
        newest=tuple(windows[: _quiet_windows(rule)]) if rule.clear is None else (),
    )


def thresholds_of(finding: Finding) -> dict[str, float]:
    """The thresholds above which the values of a finding are, by series; empty where a rule has one limit for all."""
    broken = finding.among or (finding,)
    if finding.rule.clear is not None:
        return {}
    found = {_series_of(one.row): _threshold(one.row) for one in broken if one.fires}
    return {name: value for name, value in found.items() if value is not None}


def only_threshold_grew(finding: Finding, opened: Mapping[str, float]) -> bool:
    """Whether values that opened an alert are within their thresholds only because those have grown.

    Args:
        opened: the thresholds at which the alert opened, from `thresholds_of`.
    """
    for row in finding.newest:
        then, now = opened.get(_series_of(row)), _threshold(row)
        if then is not None and now is not None and now > _GROWN * then and (row.value or 0.0) > then:
            return True
    return False


def _series_of(row: MetricRow) -> str:
    """The harm, slice and length of the window of a value."""
    return f"{row.harm}|{row.slice}|{(row.until - row.since) // clock.HOUR}"


def _threshold(row: MetricRow) -> float | None:
    return None if row.value is None or row.lo is None else row.value - row.lo


def _quiet_windows(rule: Rule) -> int:
    return max(QUIET_WINDOWS, rule.of_windows)


def _is_quiet(rule: Rule, windows: Sequence[MetricRow]) -> bool:
    """Whether an open alert resolves."""
    if rule.clear is None:
        return all(_beyond(rule, row) <= 0 for row in windows[: _quiet_windows(rule)])
    value = windows[0].value
    if value is None:
        return False
    return value <= rule.clear if rule.direction == "above" else value >= rule.clear


def _first_run(rule: Rule, windows: Sequence[MetricRow]) -> list[MetricRow]:
    """The newest broken windows that follow each other, newest first."""
    start = next((i for i, row in enumerate(windows) if _beyond(rule, row) > 0), len(windows))
    run = []
    for row in windows[start:]:
        if _beyond(rule, row) <= 0:
            break
        run.append(row)
    return run


def _joined(judged: Sequence[Finding]) -> Finding | None:
    """One finding of those of all lengths: the worst that fires, or else the newest."""
    if not judged:
        return None
    firing = [one for one in judged if one.fires]
    if firing:
        return max(firing, key=lambda one: one.deviation)
    shown = max(judged, key=lambda one: one.row.until)
    newest = tuple(row for one in judged for row in one.newest)
    return shown._replace(quiet=all(one.quiet for one in judged), newest=newest)


def _beyond(rule: Rule, row: MetricRow) -> float:
    return deviation(rule, row) or 0.0


def _with_limit(rule: Rule, limit: float) -> Rule:
    """The rule with another limit, clearing at the same share of it."""
    if rule.clear is None:
        return rule._replace(limit=limit)
    if rule.limit > 0 and limit > 0:
        return rule._replace(limit=limit, clear=rule.clear / rule.limit * limit)
    nearer = min if rule.direction == "above" else max
    return rule._replace(limit=limit, clear=nearer(rule.clear, limit))
