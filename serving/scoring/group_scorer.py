"""The steps of scoring one group: evaluate, predict, assemble, log, hand over to the trials."""

from __future__ import annotations

import numpy as np

from features.evaluate.plan import Evaluated
from models.version import Scores
from serving.scoring.assemble import Explain, assemble_batch, assemble_scores
from serving.scoring.groups import ScoringContext, VersionGroup
from serving.scoring.interfaces import PredictionSink
from serving.scoring.model_input import evaluate, model_vector, rule_error
from serving.scoring.results import GroupScores, SubjectError
from serving.scoring.stages import Stages
from serving.scoring.text_cache import TextCache
from serving.scoring.trial_jobs import trial_jobs
from serving.trials.trials import Trials


class GroupScorer:
    """Scores the groups of one call, one after the other. Not thread-safe: one call, one GroupScorer.

    Args:
        stages: the call's stopwatch; every step is marked on it.
        sink: takes the predictions.
        trials: gets the jobs for canaries and challengers. If None, a failing canary fails the call.
    """

    def __init__(
        self,
        context: ScoringContext,
        explained: Explain,
        stages: Stages,
        cache: TextCache,
        sink: PredictionSink,
        trials: Trials | None,
    ) -> None:
        self._context = context
        self._explained: Explain = explained
        self._stages = stages
        self._cache = cache
        self._sink = sink
        self._trials = trials
        # By contract and inputs: harms that share both share the features.
        self._evaluated: dict[tuple[str, tuple[int, ...]], Evaluated] = {}

    def score(self, group: VersionGroup) -> tuple[GroupScores | None, list[SubjectError]]:
        """The group's scores, None if no input can be scored; and the errors of the inputs that can't.

        If a canary fails, whatever the error, the champion scores its inputs.
        """
        if group.role != "canary" or self._trials is None:
            return self._score(group)
        try:
            return self._score(group)
        except Exception as error:
            self._trials.canary_failed(group.version, error)
            champion = self._context.lineup.champions[group.version.harm]
            return self._score(group.scored_by(champion, "champion"))

    def _score(self, group: VersionGroup) -> tuple[GroupScores | None, list[SubjectError]]:
        """All steps with the group's own version."""
        features = self._evaluate(group)
        errors = _refused(group, features)
        if errors:
            kept = np.flatnonzero(features.refused < 0)
            group, features = group.pick(kept.tolist()), features.only(kept)
        if not group.inputs:
            return None, errors
        mark = self._stages.mark
        mark("evaluate")
        vector = model_vector(group, features, self._cache)
        text = mark("text")
        scores = group.version.score_vector(vector)
        predict = mark("predict")
        assembled = assemble_scores(group, scores, features.too_old, self._explained)
        mark("answer" if self._explained == "nothing" else "explain")
        self._record(assembled, scores, scoring_s=text.seconds + predict.seconds)
        mark("log")
        return assembled, errors

    def _evaluate(self, group: VersionGroup) -> Evaluated:
        key = (group.version.contract_hash, group.places)
        features = self._evaluated.get(key)
        if features is None:
            features = self._evaluated[key] = evaluate(group, group.version.contract, self._cache)
        return features

    def _record(self, assembled: GroupScores, scores: Scores, *, scoring_s: float) -> None:
        """Log the predictions and give the trials their jobs. Scores without stored features aren't logged."""
        took_us = self._stages.took_us
        if self._context.available:
            self._sink.append(assemble_batch(assembled, scores, self._cache, took_us))
        if self._trials is not None:
            jobs = trial_jobs(assembled.group, scores, self._cache, self._sink, took_us=took_us, scoring_s=scoring_s)
            for job in jobs:
                self._trials.submit(job)


def _refused(group: VersionGroup, features: Evaluated) -> list[SubjectError]:
    """An error for each input that the contract's rules refuse to score."""
    harm, columns = group.version.harm, group.version.contract.columns
    errors = []
    for n in np.flatnonzero(features.refused >= 0).tolist():
        one, column = group.inputs[n], columns[int(features.refused[n])]
        errors.append(SubjectError(one.place, one.request.subject, harm, rule_error(harm, column)))
    return errors
