"""The job `skew`: the share of served predictions whose features training would see otherwise."""

from __future__ import annotations

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.estimates.intervals import clopper_pearson
from monitoring.watch.jobs import DAILY, Job
from monitoring.watch.values import measured
from monitoring.watch.world import World

NAME = "skew.share"


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """Check a sample of the predictions of the day up to `until`, as `leads skew` does."""
    since = until - clock.DAY
    found = world.skew(harm, since, until)
    if found is None or not found.checked:
        return []
    share = clopper_pearson(found.differing, found.checked, confidence=0.998)
    method = "share of a sample of this host's predictions that differ; Clopper-Pearson 99.8%"
    return [measured(harm, since, until, NAME, share, found.checked, method)]


SKEW = Job("skew", DAILY, measure)
