"""Job: the mean score, and the share of subjects that are flagged, of the last day."""

from __future__ import annotations

from collections import Counter

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.figures import SHOWN_FOR
from leads.db.monitoring.rows import MetricRow
from leads.estimates.intervals import clopper_pearson
from monitoring.summaries.summary import SCORE, merge
from monitoring.watch.jobs import HOURLY, Job
from monitoring.watch.world import World

MEAN, FLAGGED = "score.mean", "score.flagged"
_LENGTH: Micros = clock.DAY


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """The rows of the day that ends at `until`; none if nothing was scored lately.

    A value is about everyone who was scored, by whichever version; the row names the one that scored most.
    """
    since = until - _LENGTH
    hours = world.hours(harm, since, until)
    if not hours:
        # The values of a day before an outage say nothing about today.
        lately = world.hours(harm, until - SHOWN_FOR, since)
        none = MetricRow(harm, "", "", since, until, MEAN, None, None, None, 0, "no predictions")
        return [none, none._replace(name=FLAGGED)] if lately else []
    rows_of: Counter[str] = Counter()
    for hour in hours:
        rows_of[hour.version] += hour.summary.rows
    version, whole = rows_of.most_common(1)[0][0], merge(hour.summary for hour in hours)
    score = whole.columns[SCORE]
    found = [
        MetricRow(harm, version, "", since, until, MEAN, score.mean if score.n else None, None, None, score.n, "mean")
    ]
    flagged, rows = whole.flagged
    if rows:
        share = clopper_pearson(flagged, rows)
        found.append(MetricRow(harm, version, "", since, until, FLAGGED, *share, rows, "clopper-pearson"))
    return found


JOB = Job("scores", HOURLY, measure)
