"""The job `challenger`: how far champion and challenger agree, where they differ, and which is better where decided."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads import clock
from leads.clock import Micros
from leads.db.model_changes import CHALLENGER
from leads.db.monitoring.rows import MetricRow
from leads.estimates.clusters import observations
from leads.estimates.intervals import Interval, clopper_pearson
from leads.estimates.slices import slice_of
from leads.events import Subject
from monitoring.watch.jobs import DAILY, Job
from monitoring.watch.paired import Agreement, ScorePair
from monitoring.watch.values import measured
from monitoring.watch.world import World

AGREEMENT, MOVED = "challenger.agreement", "challenger.moved"
GAIN, LEFT = "challenger.gain", "challenger.labels_left"

Doubles = npt.NDArray[np.float64]

_WINDOW: Micros = clock.DAY
# Verdicts on what both have scored: leads wait for days.
_JUDGED: Micros = 28 * clock.DAY
_FEWEST = 10
# Quantile of a two-sided 99.8% interval: the gain is looked at every day.
_Z = 3.09
# Labels that are needed are counted up to this number; beyond it, the versions are as good as equal.
_MOST_LABELS = 100_000
# Scores are cut here, so that no single verdict decides.
_CUT = 0.001


class _Found(NamedTuple):
    name: str
    slice_: str
    version: str
    value: Interval | float
    n: int
    method: str


class _Judged(NamedTuple):
    """n verdicts on what both scored: (n,) log loss of the champion minus that of the challenger, and the accounts."""

    challenger: str
    gains: Doubles
    groups: npt.NDArray[np.str_]


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """Compare what both said in the day up to `until`, and what was decided on what both said in four weeks."""
    since, begins = until - _WINDOW, until - _JUDGED
    shadowed = world.hours(harm, begins, until, role=CHALLENGER)
    if not shadowed:
        return []
    found = [_row(harm, since, until, one) for one in _agreement(world.agreement(harm, since, until))]
    judged = _judged(world, harm, shadowed[0].hour, until)
    return found + [_row(harm, begins, until, one) for one in (_gain(judged) if judged else ())]


def _row(harm: str, since: Micros, until: Micros, one: _Found) -> MetricRow:
    return measured(harm, since, until, one.name, one.value, one.n, one.method, slice_=one.slice_, version=one.version)


def _agreement(found: Agreement | None) -> Iterator[_Found]:
    if found is None:
        return
    n = sum(found.counts.values())
    of: dict[str, Counter[bool]] = {}
    moves: Counter[tuple[str, str]] = Counter()
    for tiers, times in found.counts.items():
        same = tiers.champion == tiers.challenger
        for slice_ in ("", slice_of(type=tiers.type_id)):
            of.setdefault(slice_, Counter())[same] += times
        if not same:
            moves[tiers.champion, tiers.challenger] += times
    method = "share with the same tier of what both scored on this host; Clopper-Pearson 95%"
    for slice_, counts in sorted(of.items()):
        total = counts.total()
        yield _Found(AGREEMENT, slice_, found.challenger, clopper_pearson(counts[True], total), total, method)
    method = "share of what both scored on this host; Clopper-Pearson 95%"
    for (champion, challenger), times in sorted(moves.items()):
        slice_ = slice_of(champion=champion, challenger=challenger)
        yield _Found(MOVED, slice_, found.challenger, clopper_pearson(times, n), n, method)


def _judged(world: World, harm: str, since: Micros, until: Micros) -> _Judged | None:
    """The verdicts on what both versions scored, each with the newest pair of scores before it."""
    verdicts = world.decided(harm, until - _JUDGED, until).verdicts
    challenger, pairs = world.pairs(harm, since, until, {one.subject for one in verdicts})
    by_subject: dict[Subject, list[ScorePair]] = {}
    for pair in pairs:
        by_subject.setdefault(pair.subject, []).append(pair)
    gains, groups = [], []
    for one in verdicts:
        known = [pair for pair in by_subject.get(one.subject, ()) if pair.at <= one.at]
        if known:
            losses = _log_loss(np.array([known[-1].champion, known[-1].challenger]), one.violating)
            gains.append(float(losses[0] - losses[1]))
            groups.append(one.account)
    return _Judged(challenger, np.array(gains), np.array(groups)) if gains else None


def _log_loss(scores: Doubles, violating: bool) -> Doubles:
    cut = np.clip(scores, _CUT, 1 - _CUT)
    loss: Doubles = -np.log(cut if violating else 1 - cut)
    return loss


def _gain(judged: _Judged) -> Iterator[_Found]:
    worth = observations(judged.groups)
    n = len(judged.gains)
    if worth < _FEWEST:
        method = f"at least {_FEWEST} verdicts on different accounts are needed for an estimate"
        yield _Found(LEFT, "", judged.challenger, float(math.ceil(_FEWEST - worth)), n, method)
        return
    gain, spread = float(judged.gains.mean()), float(judged.gains.std(ddof=1))
    error = _Z * spread / math.sqrt(worth)
    method = (
        f"log loss of the champion - that of the challenger, only reviewed leads, worth {worth:.0f} independent ones; "
        "normal 99.8%"
    )
    yield _Found(GAIN, "", judged.challenger, Interval(gain, gain - error, gain + error), n, method)
    needed = (_Z * spread / gain) ** 2 * n / worth if gain else math.inf
    left = 0.0 if abs(gain) > error else float(math.ceil(min(needed, _MOST_LABELS) - n))
    method = f"verdicts until the interval of the gain leaves 0, if it stays as it is; {_MOST_LABELS:,} at most"
    yield _Found(LEFT, "", judged.challenger, max(left, 0.0), n, method)


CHALLENGERS = Job("challenger", DAILY, measure)
