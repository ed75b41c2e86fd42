"""The job `performance`: what reviewers found in the flagged leads of the last seven days, and what scores promised.

Only leads that somebody reviewed have labels, and the queue shows the highest first: these figures describe the
reviewed leads, not all flagged ones. Estimates for all of them need a random sample, and will use the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.decided import Pair
from leads.db.monitoring.rows import MetricRow
from leads.estimates.intervals import Interval, clopper_pearson
from leads.estimates.sequential import calibration_evidence
from leads.estimates.slices import slice_of
from leads.policies import HarmPolicy
from monitoring.performance.labels import FLAGGED, Labels, labels
from monitoring.summaries.summary import merge
from monitoring.summaries.tally import MOST_VALUES, TYPE
from monitoring.watch.jobs import DAILY, Job
from monitoring.watch.values import measured
from monitoring.watch.world import World

PRECISION, DEFICIT = "performance.precision", "performance.precision_deficit"
EXPECTED, GAP = "performance.expected_precision", "performance.gap"
CALIBRATION, AGREEMENT = "performance.calibration", "performance.agreement"

WINDOW: Micros = 7 * clock.DAY
# Fewer effective observations have no figures.
_FEWEST = 10
# Bounds that raise pages: 365 windows a year, of which 52 don't overlap.
_SURE = 0.998
_ONLY_REVIEWED = "only reviewed leads"
# Scores this close to the truth are as good as any: training accepts the same calibration error.
_TOLERANCE = 0.05


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """Measure the seven days up to `until`."""
    since = until - WINDOW
    found = world.decided(harm, since, until)
    reviewed = labels(found.verdicts)
    rows = [measured(harm, since, until, *one) for one in _promised(world, harm, since, until)]
    for slice_, some in _divided(world, reviewed):
        for name, value, method in _figures(some, world.policies.harms[harm], slice_):
            rows.append(
                measured(harm, since, until, name, value, len(some), method, slice_=slice_, version=some.version)
            )
    rows += _calibration(world, harm, reviewed, since, until)
    rows += _agreement(harm, found.pairs, since, until)
    return rows


def _promised(world: World, harm: str, since: Micros, until: Micros) -> Iterator[tuple[str, float, int, str]]:
    tiers = merge(one.summary for one in world.hours(harm, since, until)).by_tier
    n = sum(tiers[tier][0] for tier in FLAGGED if tier in tiers)
    if n:
        total = sum(tiers[tier][1] for tier in FLAGGED if tier in tiers)
        yield EXPECTED, total / n, n, "mean score of all flagged subjects, each once an hour; needs no labels"


def _divided(world: World, reviewed: Labels) -> Iterator[tuple[str, Labels]]:
    """All verdicts, those of each tier, and those of each slice of the policy; only parts that tell anything."""
    parts = [("", np.ones(len(reviewed), dtype=bool))]
    parts += [(slice_of(tier=tier), reviewed.tiers == tier) for tier in FLAGGED]
    named: dict[str, Sequence[str | None]] = {TYPE: reviewed.types.tolist(), **world.categories(reviewed.subjects)}
    for name in world.policies.monitoring.slices:
        values = np.array([value or "" for value in named.get(name, ())], dtype=np.str_)
        common = Counter(values[values != ""].tolist()).most_common(MOST_VALUES)
        # A slice of all verdicts would say the same again.
        if len(common) > 1:
            parts += [(slice_of(**{name: value}), values == value) for value, _ in sorted(common)]
    for slice_, chosen in parts:
        some = reviewed.where(chosen)
        if some.worth >= _FEWEST:
            yield slice_, some


def _figures(some: Labels, policy: HarmPolicy, slice_: str) -> Iterator[tuple[str, Interval, str]]:
    worth = f"{_ONLY_REVIEWED}, worth {some.worth:.0f} independent ones; Clopper-Pearson"
    yield PRECISION, some.precision(), f"{worth} 95%"
    promised, sure = float(some.scores.mean()), some.precision(_SURE)
    # The target of `review` is that of all flagged leads, that of `auto` of its own.
    target = policy.auto.precision if slice_ == "tier=auto" and policy.auto else policy.review.precision
    if slice_ in ("", "tier=auto"):
        # A version whose scores promise less than the target was known not to reach it when it was promoted.
        target = min(target, promised)
        deficit = Interval(target - sure.value, target - sure.hi, target - sure.lo)
        yield DEFICIT, deficit, f"{target:.3f} (target, or what scores promise) - precision; {worth} {_SURE:.1%}"
    gap, low, high = promised - sure.value, promised - sure.hi, promised - sure.lo
    sizes = Interval(abs(gap), max(low, -high, 0.0), max(-low, high))
    yield GAP, sizes, f"difference of mean score {promised:.3f} and precision {sure.value:.3f}; {worth} {_SURE:.1%}"


def _calibration(world: World, harm: str, reviewed: Labels, since: Micros, until: Micros) -> list[MetricRow]:
    """The evidence against the scores of the version that predicts now."""
    hours = world.hours(harm, since, until)
    versions = [hours[-1].version] if hours else reviewed.versions[-1:].tolist()
    if not versions:
        return []
    own = reviewed.where(reviewed.versions == versions[0]).first_of_each()
    days = np.unique((own.at - since) // clock.DAY, return_index=True)[1]
    value = calibration_evidence(own.scores, own.violating, tolerance=_TOLERANCE, starts=days)
    method = (
        f"ln of an e-value against scores within {_TOLERANCE:g} of the truth, {_ONLY_REVIEWED}, the first of each "
        "account and text; betting, restarted daily"
    )
    return [measured(harm, since, until, CALIBRATION, value, len(own), method, version=versions[0])]


def _agreement(harm: str, pairs: tuple[Pair, ...], since: Micros, until: Micros) -> list[MetricRow]:
    looked, same = Counter(one.purpose for one in pairs), Counter(one.purpose for one in pairs if one.same)
    rows = []
    for purpose, n in sorted(looked.items()):
        found = clopper_pearson(same[purpose], n)
        method = "share of two verdicts on the same content that are equal; Clopper-Pearson 95%"
        rows.append(measured(harm, since, until, AGREEMENT, found, n, method, slice_=slice_of(purpose=purpose)))
    return rows


PERFORMANCE = Job("performance", DAILY, measure)
