"""The job `new_values`: values of declared fields that were never seen before, such as a category that was renamed."""

from __future__ import annotations

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.estimates.intervals import clopper_pearson
from leads.estimates.slices import slice_of
from models.text.description import OTHER, declared_categories
from monitoring.summaries.reference import any_time
from monitoring.summaries.summary import merge
from monitoring.summaries.tally import TYPE
from monitoring.watch.jobs import Job
from monitoring.watch.values import measured
from monitoring.watch.world import World

NAME = "inputs.new_values"
_EVERY: Micros = 6 * clock.HOUR
# Values count as new for three days, so that there is time to see to them.
_KNOWN_SINCE: Micros = 3 * clock.DAY
_PAST: Micros = 28 * clock.DAY
_FEWEST = 200


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """The share of subjects in the six hours up to `until` whose value of a field is new."""
    since = until - _EVERY
    hours = world.hours(harm, since, until)
    if not hours:
        return []
    now = merge(one.summary for one in hours).categories
    before = [one.summary for one in world.hours(harm, since - _PAST, until - _KNOWN_SINCE)]
    reference = world.reference(harm, hours[-1].version)
    if reference is not None:
        before += reference.parts("", any_time).values()
    known = merge(before).categories
    rows = []
    for name in (TYPE, *declared_categories(world.platform)):
        counts, earlier = now.get(name, {}), known.get(name, {})
        n = sum(counts.values())
        if n and sum(earlier.values()) >= _FEWEST:
            new = sum(times for value, times in counts.items() if value not in earlier and value != OTHER)
            share = clopper_pearson(new, n, confidence=0.998)
            method = (
                "share of subjects whose value neither training nor the last 3 to 28 days had; Clopper-Pearson 99.8%"
            )
            rows.append(measured(harm, since, until, NAME, share, n, method, slice_=slice_of(column=name)))
    return rows


NEW_VALUES = Job("new_values", _EVERY, measure)
