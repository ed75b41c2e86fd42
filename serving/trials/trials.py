"""What is tried beside the champions: canaries are watched, challengers score in shadow, both off the answer's path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from features.contract import FeatureContract
from leads.policies import Policies
from leads.predictions.log import PredictionBatch
from models.version import ModelVersion, Scores
from serving.scoring.group import Group
from serving.scoring.text_cache import TextCache
from serving.trials.canary import CanaryWatch
from serving.trials.retreats import Retreats
from serving.trials.shadow import Shadow
from serving.trials.shadow_jobs import PairedJob, Places, Rows, ShadowJob
from serving.versions.lineup import Lineup

Log = Callable[[PredictionBatch], None]


class Trials:
    """Thread-safe; never blocks. `start` has shadow work done in the background."""

    def __init__(self, policies: Policies, retreats: Retreats) -> None:
        self.watch = CanaryWatch(policies, retreats)
        self.shadow = Shadow(self.watch)

    def start(self) -> None:
        self.shadow.start()

    def stop(self) -> None:
        """End after the rows at hand; what waits is dropped."""
        self.shadow.stop()

    def failed(self, canary: ModelVersion, error: Exception) -> None:
        """A canary could not score its share of a call; the champion answers in its place."""
        self.watch.errored(canary, error)

    def scored(
        self,
        group: Group,
        scores: Scores,
        lineup: Lineup,
        texts: TextCache,
        log: Log,
        took_us: int,
        scoring_s: float,
    ) -> None:
        """A group was scored: a canary is compared with the champion, a challenger scores the same subjects.

        Args:
            log: takes the challenger's predictions.
            took_us: time that the call had taken by then.
            scoring_s: seconds of it that text stage and booster took for this group.
        """
        harm = group.version.harm

        def rows_for(contract: FeatureContract) -> Rows:
            evaluated = group.evaluate(contract, texts)
            places = np.flatnonzero(evaluated.refused < 0)
            found = group.own_texts.texts
            return Rows(evaluated.matrix[places], [found[n] for n in places.tolist()], places)

        if group.role == "canary":
            self.watch.answered(group.version)
            keys = [one.request.subject.key for one in group.inputs]
            champion = lineup.champions[harm]
            self.shadow.offer(PairedJob(group.version, champion, scores.score, keys, rows_for, scoring_s))
        challenger = lineup.challengers.get(harm)
        if challenger is None or not group.available:
            return

        def done(by_challenger: Scores, places: Places) -> None:
            its = group.given_to(challenger, "challenger", places.tolist())
            log(
                its.batch(
                    its.answer(by_challenger, np.zeros(len(places), np.bool_), "nothing"), by_challenger, texts, took_us
                )
            )

        self.shadow.offer(ShadowJob(challenger, len(group.inputs), rows_for, done))
