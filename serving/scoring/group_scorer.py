"""The steps of scoring one group: evaluate, predict, assemble; then record, once all groups of a call have been scored.

Each step first checks the request's deadline. A call that runs out of time has recorded nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from features.evaluate.plan import Evaluated, NotDeclared
from leads.db import deadline
from leads.errors import Unavailable
from leads.language.detection import UNKNOWN
from leads.language.stated import text_language
from leads.predictions.batch import PredictionBatch
from models.scores import Scores
from serving.scoring.assemble import Explain, assemble_batch, assemble_scores
from serving.scoring.groups import ScoringContext, VersionGroup
from serving.scoring.interfaces import PredictionSink
from serving.scoring.model_input import evaluate, model_vector, rule_error
from serving.scoring.results import GroupScores, SubjectError
from serving.scoring.stages import Stage, Stages
from serving.scoring.texts.cache import TextCache
from serving.scoring.trial_jobs import trial_jobs
from serving.trials.trials import Trials


class ScoredGroup(NamedTuple):
    """A group's scores and what will be recorded about them.

    Args:
        batch: the predictions; None if they aren't logged.
        took_us: µs from the start of the call until the scores were ready.
        scoring_s: seconds that the group's text scores and booster took.
    """

    assembled: GroupScores
    scores: Scores
    batch: PredictionBatch | None
    took_us: int
    scoring_s: float


class _Languages(NamedTuple):
    """The languages of the texts of all n inputs of a call; `und` without a text."""

    of: list[str]
    distinct: frozenset[str]


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
        self._languages: _Languages | None = None

    def score(self, group: VersionGroup) -> tuple[ScoredGroup | None, list[SubjectError]]:
        """The group's scores, None if no input can be scored; and the errors of the inputs that can't.

        If a canary fails, whatever the error, the champion scores its inputs.

        Raises:
            OutOfTime: the request's deadline has passed.
        """
        if group.role != "canary" or self._trials is None:
            return self._score(group)
        try:
            return self._score(group)
        except deadline.OutOfTime:
            raise
        except Exception as error:
            self._trials.canary_failed(group.version, error)
            champion = self._context.lineup.champions[group.version.harm]
            return self._score(group.scored_by(champion, "champion"))

    def record(self, scored: ScoredGroup) -> None:
        """Log the predictions and give the trials their jobs."""
        if scored.batch is not None:
            self._sink.append(scored.batch)
        if self._trials is not None:
            jobs = trial_jobs(
                scored.assembled.group,
                scored.scores,
                self._cache,
                self._sink,
                took_us=scored.took_us,
                scoring_s=scored.scoring_s,
            )
            for job in jobs:
                self._trials.submit(job)

    def _score(self, group: VersionGroup) -> tuple[ScoredGroup | None, list[SubjectError]]:
        """All steps with the group's own version."""
        try:
            features = self._evaluate(group)
        except NotDeclared as error:
            return None, _not_declared(group, error.args[0])
        errors = _refused(group, features)
        if errors:
            kept = np.flatnonzero(features.refused < 0)
            group, features = group.pick(kept.tolist()), features.only(kept)
        if not group.inputs:
            return None, errors
        self._mark("evaluate")
        vector = model_vector(group, features, self._cache)
        text = self._mark("text")
        scores = group.version.score_vector(vector)
        predict = self._mark("predict")
        assembled = assemble_scores(group, scores, features.too_old, self._explained, unseen=self._unseen(group))
        self._mark("answer" if self._explained == "nothing" else "explain")
        took_us = self._stages.took_us
        # Scores without stored features aren't logged.
        batch = assemble_batch(assembled, scores, self._cache, took_us) if self._context.available else None
        self._mark("log")
        return ScoredGroup(assembled, scores, batch, took_us, text.seconds + predict.seconds), errors

    def _mark(self, stage: str) -> Stage:
        """End a stage, and stop if the request's deadline has passed.

        Raises:
            OutOfTime: it has.
        """
        ended = self._stages.mark(stage)
        deadline.check()
        return ended

    def _evaluate(self, group: VersionGroup) -> Evaluated:
        key = (group.version.contract_hash, group.places)
        features = self._evaluated.get(key)
        if features is None:
            features = self._evaluated[key] = evaluate(group, group.version.contract, self._cache)
        return features

    def _unseen(self, group: VersionGroup) -> list[int]:
        """The positions in the group of the inputs whose text is in a language that the version never saw."""
        version = group.version
        if not version.uses_text or version.languages is None:
            return []
        if self._languages is None:
            self._languages = _languages(self._context, self._cache)
        languages, distinct = self._languages
        unseen = [language for language in distinct if not version.saw(language)]
        return [n for n, place in enumerate(group.places) if languages[place] in unseen] if unseen else []


def _languages(context: ScoringContext, cache: TextCache) -> _Languages:
    texts = context.texts
    found = cache.languages(texts)
    if any(context.stated):
        of = zip(texts.values, context.stated, found, strict=True)
        found = [text_language(text, stated, detected) or UNKNOWN for text, stated, detected in of]
    return _Languages(found, frozenset(found))


def _not_declared(group: VersionGroup, column: str) -> list[SubjectError]:
    """An error for each input of a version that needs a feature which is gone, or was declared otherwise."""
    harm, version = group.version.harm, group.version.version
    error = Unavailable(
        f"{harm} can't be scored: version {version} needs the feature {column}, which isn't live as it was declared.",
        field=column,
        remedy=f"Train the harm again: leads train {harm}",
    )
    return [SubjectError(one.place, one.request.subject, harm, error) for one in group.inputs]


def _refused(group: VersionGroup, features: Evaluated) -> list[SubjectError]:
    """An error for each input that the contract's rules refuse to score."""
    harm, columns = group.version.harm, group.version.contract.columns
    return [
        SubjectError(one.place, one.request.subject, harm, rule_error(harm, columns[j]))
        for one, j in zip(group.inputs, features.refused.tolist(), strict=True)
        if j >= 0
    ]
