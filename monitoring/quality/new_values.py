"""The job `new_values`: values of declared fields that were never seen before, such as a category that was renamed."""

from __future__ import annotations

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow, slice_of
from leads.estimates.intervals import clopper_pearson
from monitoring.summaries.summary import merge
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
    now = merge(one.summary for one in world.hours(harm, since, until))
    before = merge(one.summary for one in world.hours(harm, since - _PAST, until - _KNOWN_SINCE))
    rows = []
    for name in sorted(_declared(world) & now.categories.keys() & before.categories.keys()):
        counts, known = now.categories[name], before.categories[name]
        n, earlier = sum(counts.values()), sum(known.values())
        if n and earlier >= _FEWEST:
            new = sum(times for value, times in counts.items() if value not in known)
            share = clopper_pearson(new, n, confidence=0.998)
            method = "share of subjects whose value was never seen 3 to 28 days before; Clopper-Pearson 99.8%"
            rows.append(measured(harm, since, until, NAME, share, n, method, slice_=slice_of(column=name)))
    return rows


def _declared(world: World) -> set[str]:
    """The names of the fields that platform.yaml declares, and `type`."""
    return {"type", *(name for one in world.platform.types.values() for name in one.fields)}


NEW_VALUES = Job("new_values", _EVERY, measure)
