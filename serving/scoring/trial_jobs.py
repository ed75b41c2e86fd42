"""Turns a scored group into jobs for the trials: the canary's comparison with the champion, the challenger's scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from features.contract import FeatureContract
from models.scores import Scores
from serving.scoring.assemble import assemble_batch, assemble_scores
from serving.scoring.groups import VersionGroup
from serving.scoring.interfaces import PredictionSink
from serving.scoring.model_input import evaluate
from serving.scoring.texts.cache import TextCache
from serving.trials.jobs import CanaryJob, ChallengerJob, Places, ShadowRows, TrialJob


def trial_jobs(
    group: VersionGroup, scores: Scores, cache: TextCache, sink: PredictionSink, *, took_us: int, scoring_s: float
) -> Iterator[TrialJob]:
    """What the trials do after a group was scored: at most one job of each kind.

    Args:
        sink: takes the challenger's predictions.
        took_us: µs from the start of the call until the scores were ready.
        scoring_s: seconds that the group's text scores and booster took.
    """
    lineup, harm = group.context.lineup, group.version.harm

    def rows_for(contract: FeatureContract) -> ShadowRows:
        evaluated = evaluate(group, contract, cache)
        places = np.flatnonzero(evaluated.refused < 0)
        texts = group.texts.values
        return ShadowRows(evaluated.matrix[places], [texts[n] for n in places.tolist()], places)

    if group.role == "canary":
        subjects = [one.request.subject.key for one in group.inputs]
        yield CanaryJob(group.version, lineup.champions[harm], scores.score, subjects, rows_for, scoring_s)
    challenger = lineup.challengers.get(harm)
    # Scores without stored features aren't logged, and a challenger's scores go nowhere but to the log.
    if challenger is None or not group.context.available:
        return

    def log(by_challenger: Scores, places: Places) -> None:
        scored = group.pick(places.tolist()).scored_by(challenger, "challenger")
        nothing_old = np.zeros(len(places), np.bool_)
        assembled = assemble_scores(scored, by_challenger, nothing_old, "nothing")
        sink.append(assemble_batch(assembled, by_challenger, cache, took_us))

    yield ChallengerJob(challenger, len(group.inputs), rows_for, log)
