"""The versions on trial beside the champions: canaries are watched, challengers score in shadow."""

from __future__ import annotations

from leads.policies import Policies
from models.version import ModelVersion
from serving.trials.canary import CanaryWatch
from serving.trials.jobs import CanaryJob, TrialJob
from serving.trials.retreats import Retreats
from serving.trials.shadow import Shadow


class Trials:
    """Thread-safe; never blocks. Jobs are done in the background after `start`."""

    def __init__(self, policies: Policies, retreats: Retreats) -> None:
        self.watch = CanaryWatch(policies, retreats)
        self.shadow = Shadow(self.watch)

    def start(self) -> None:
        self.shadow.start()

    def stop(self) -> None:
        """Stop after the rows being scored. Waiting jobs are dropped."""
        self.shadow.stop()

    def canary_failed(self, canary: ModelVersion, error: Exception) -> None:
        """Note that a canary failed to score its share of a call. The champion answers instead."""
        self.watch.failed(canary, error)

    def submit(self, job: TrialJob) -> None:
        """Queue a job. It is dropped and counted if the queue is full."""
        if isinstance(job, CanaryJob):
            self.watch.answered(job.canary)
        self.shadow.offer(job)
