"""All jobs of monitoring, and the steps that follow them."""

from __future__ import annotations

from models.text.sentence import open_encoder, place_of
from monitoring import scores
from monitoring.alerts.steps import JUDGING, SENDING
from monitoring.challenger.compare import CHALLENGERS
from monitoring.drift.jobs import drift_jobs
from monitoring.output.reports import EVIDENTLY, PAGES
from monitoring.performance.skewed import SKEW
from monitoring.performance.verdicts import VERDICTS
from monitoring.performance.weekly import PERFORMANCE
from monitoring.quality.events import EVENTS
from monitoring.quality.inputs import INPUTS
from monitoring.quality.new_values import NEW_VALUES
from monitoring.quality.scored import PREDICTIONS, QUEUE, WORKER
from monitoring.summaries.content import Content
from monitoring.summaries.hourly import Describe
from monitoring.watch.jobs import Job, Step
from monitoring.watch.world import World


def jobs() -> tuple[Job, ...]:
    """All jobs, in the order in which they run.

    What a job reads of another's values, it reads of windows that are measured already: a job comes after those that it
    reads of.
    """
    return (
        *(EVENTS, PREDICTIONS, WORKER, QUEUE, INPUTS, NEW_VALUES),
        *drift_jobs(),
        *(scores.JOB, PERFORMANCE, VERDICTS, SKEW, CHALLENGERS),
    )


def steps() -> tuple[Step, ...]:
    """What a run does once everything is measured, in this order."""
    return JUDGING, SENDING, PAGES, EVIDENTLY


def describe(world: World) -> Describe | None:
    """Describes subjects for the summaries; None: they are divided by type alone."""
    encoder = open_encoder(place_of(world.settings)) if world.settings.encoder == "minilm" else None
    return Content(world.engine, world.platform, encoder)
