"""Judges what was measured: the newest windows, and those that ended since the last judgement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leads import clock
from leads.alerting.rules import Rule
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.monitoring import alerts
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring.rows import MetricRow, Window
from leads.errors import LeadsError
from leads.estimates.slices import slice_parts
from monitoring.alerts.joining import importance_of, joined
from monitoring.alerts.judging import QUIET_WINDOWS, Finding, Key, concerns, findings, fired_since
from monitoring.watch.world import World

# Windows end every hour. Between two judgements that are closer, none is passed over.
_PAUSE: Micros = clock.HOUR


class Judged(NamedTuple):
    """What the measured values say.

    Args:
        now: what the newest windows say.
        passed: rules that were broken in windows since the last judgement, and in the newest ones aren't.
        importance: of the inputs that findings are about, as far as it is known.
    """

    now: dict[Key, Finding]
    passed: list[Finding]
    importance: Mapping[Key, float]


def judged(world: World, rules: Mapping[str, Rule], last: Micros) -> Judged:
    """Judge the newest windows and, after a pause, all that ended since.

    Args:
        last: the time of the last judgement, µs; 0 before the first.

    Raises:
        Unavailable: the database doesn't respond.
    """
    paused = 0 < last < world.now - _PAUSE
    separate = _concerned(world, findings(_rows(world, rules, world.now), rules, world.now))
    earlier: list[Finding] = []
    if paused:
        # Windows that ended just before it weren't measured yet.
        since = last - round(world.policies.monitoring.settle_minutes * clock.MINUTE)
        earlier = _concerned(world, fired_since(_rows(world, rules, since), rules, since, world.now))
    importance = _importance(world, [*separate, *earlier])
    standing = _standing(world, [*separate, *earlier])
    now = {one.key: one for one in joined(separate, importance, standing)}
    passed = [one for one in joined(earlier, importance, standing) if one.key not in now or not now[one.key].fires]
    return Judged(now, passed, importance)


def _concerned(world: World, found: Sequence[Finding]) -> list[Finding]:
    policy, harms = world.policies.monitoring, world.policies.harms
    return [one for one in found if concerns(policy, one.rule.name, one.harm, harms)]


def _standing(world: World, found: Sequence[Finding]) -> dict[tuple[str, str], str]:
    """By rule and harm, the harm whose alert is about it, of rules of which several harms have one alert.

    It is the harm under which such an alert is open; else the first one in the policies for which the rule fires. So an
    alert never stands under a harm that it isn't about, and doesn't move while it is open. A harm that the rule
    retrains has alerts of its own.
    """
    policy = world.policies
    made: dict[tuple[str, str], str] = {}
    with reading(world.engine) as connection:
        open_ = {(one.rule, one.harm) for one in alerts.unresolved(connection)}
    for rule in {one.rule.name: one.rule for one in found if one.rule.of_items or one.rule.of_all}.values():
        own = policy.monitoring.rules.get(rule.name)
        if own is not None and own.retrain:
            continue
        measured = {one.harm for one in found if one.rule.name == rule.name}
        fires = {one.harm for one in found if one.rule.name == rule.name and one.fires}
        together: dict[frozenset[str], list[str]] = defaultdict(list)
        for harm, of_harm in policy.harms.items():
            if harm in measured:
                together[frozenset() if rule.of_all else frozenset(of_harm.subject_types)].append(harm)
        for harms in together.values():
            # The first of those that come first: False sorts before True.
            stands = min(harms, key=lambda harm: ((rule.name, harm) not in open_, harm not in fires))
            made |= {(rule.name, harm): stands for harm in harms}
    return made


def _rows(world: World, rules: Mapping[str, Rule], since: Micros) -> list[MetricRow]:
    """The values of the windows that ended after `since`, and as many before it, of each length, as any rule needs."""
    needed = 2 + max((max(rule.of_windows, QUIET_WINDOWS) for rule in rules.values()), default=0)
    names = {rule.metric for rule in rules.values()}
    with reading(world.engine) as connection:
        wanted: set[Window] = set()
        before: dict[tuple[str, str, Micros], int] = defaultdict(int)
        for window in metric_rows.windows(connection, names=names, since=since, now=world.now):
            of_length = window.harm, window.name, window.until - window.since
            if before[of_length] < needed:
                wanted.add(window)
                before[of_length] += not since < window.until <= world.now
        ends: dict[str, set[Micros]] = defaultdict(set)
        for window in wanted:
            ends[window.name].add(window.until)
        rows = [row for name, of in ends.items() for row in metric_rows.of_windows(connection, name, of)]
    return [row for row in rows if Window(row.harm, row.name, row.since, row.until) in wanted]


def _importance(world: World, found: Sequence[Finding]) -> dict[Key, float]:
    """How much the inputs of alerts matter to the model. Versions are read before the transaction."""
    # What is compared with the windows before is of all versions. The one that counts is the newest.
    versions: dict[str, tuple[Micros, str]] = {}
    for one in found:
        if one.row.version:
            versions[one.harm] = max(versions.get(one.harm, (0, "")), (one.row.until, one.row.version))
    known = {}
    for one in found:
        if not one.fires or "column" not in slice_parts(one.slice) or one.harm not in versions:
            continue
        try:
            by_name = world.importance(one.harm, one.row.version or versions[one.harm][1])
        except LeadsError:
            # The registry doesn't respond. The alert is worth more than its place in the digest.
            continue
        if by_name:
            known[one.key] = importance_of(one.slice, by_name)
    return known
