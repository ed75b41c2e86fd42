"""Job: the mean score, and the share of subjects that are flagged, of the last day."""

from __future__ import annotations

from collections import Counter

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.estimates.intervals import Interval, clopper_pearson
from monitoring.summaries.summary import SCORE, Summary, merge
from monitoring.watch.jobs import HOURLY, Job
from monitoring.watch.world import World

MEAN, FLAGGED = "score.mean", "score.flagged"
NOT_FLAGGED = "none"
_LENGTH: Micros = clock.DAY


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """The rows of the day that ends at `until`; none without predictions.

    A value is about everyone who was scored, by whichever version; the row names the one that scored most.
    """
    since = until - _LENGTH
    hours = world.hours(harm, since, until)
    if not hours:
        return []
    rows_of: Counter[str] = Counter()
    for hour in hours:
        rows_of[hour.version] += hour.summary.rows
    version, whole = rows_of.most_common(1)[0][0], merge(hour.summary for hour in hours)
    score = whole.columns[SCORE]
    found = [MetricRow(harm, version, "", since, until, MEAN, score.mean if score.n else None, None, None, score.n, "mean")]
    if (share := flagged_share(whole)) is not None:
        found.append(MetricRow(harm, version, "", since, until, FLAGGED, *share, whole.rows, "clopper-pearson"))
    return found


def flagged_share(summary: Summary) -> Interval | None:
    """The share of subjects whose tier asks for a review or an action, with its interval; None without rows."""
    n = sum(rows for rows, _ in summary.by_tier.values())
    flagged = n - summary.by_tier.get(NOT_FLAGGED, (0, 0.0))[0]
    return clopper_pearson(flagged, n) if n else None


JOB = Job("scores", HOURLY, measure)
