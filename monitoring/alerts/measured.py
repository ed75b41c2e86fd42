"""Judges what was measured: the newest windows, and those that ended since the last judgement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leads import clock
from leads.alerting.rules import Rule
from leads.clock import Micros
from leads.db.engine import reading
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
    alike = _alike(world, [*separate, *earlier])
    now = {one.key: one for one in joined(separate, importance, alike)}
    passed = [one for one in joined(earlier, importance, alike) if one.key not in now or not now[one.key].fires]
    return Judged(now, passed, importance)


def _concerned(world: World, found: Sequence[Finding]) -> list[Finding]:
    policy, harms = world.policies.monitoring, world.policies.harms
    return [one for one in found if concerns(policy, one.rule.name, one.harm, harms)]


def _alike(world: World, found: Sequence[Finding]) -> dict[str, str]:
    """For each harm, the first one that is judged of the same types and has findings about items.

    A harm that such a finding retrains has alerts of its own.
    """
    rules = world.policies.monitoring.rules
    measured = {
        one.harm for one in found if one.rule.of_items and not (one.rule.name in rules and rules[one.rule.name].retrain)
    }
    first: dict[frozenset[str], str] = {}
    made = {}
    for harm, policy in world.policies.harms.items():
        if harm in measured:
            made[harm] = first.setdefault(frozenset(policy.subject_types), harm)
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
