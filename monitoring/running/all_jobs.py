"""All jobs of monitoring."""

from __future__ import annotations

from monitoring.challenger.compare import CHALLENGERS
from monitoring.performance.skewed import SKEW
from monitoring.performance.verdicts import VERDICTS
from monitoring.performance.weekly import PERFORMANCE
from monitoring.quality.events import EVENTS
from monitoring.quality.inputs import INPUTS
from monitoring.quality.new_values import NEW_VALUES
from monitoring.quality.scored import PREDICTIONS, QUEUE, WORKER
from monitoring.watch.jobs import Job


def jobs() -> tuple[Job, ...]:
    """All jobs, in the order in which they run.

    What a job reads of another's values, it reads of windows that are measured already: a job comes after those that it
    reads of.
    """
    return (EVENTS, PREDICTIONS, WORKER, QUEUE, INPUTS, NEW_VALUES, PERFORMANCE, VERDICTS, SKEW, CHALLENGERS)
