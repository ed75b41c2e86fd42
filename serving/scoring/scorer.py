"""Score subjects under harms: one look-up for all, one matrix per contract, one array of scores per version.

Each act is noted in the prediction log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
from sqlalchemy.engine import Engine

from features.evaluate.plan import Evaluated
from features.fold.router import Links
from features.layout import ROLES, missing
from features.online.reader import Fetched
from leads.clock import Micros
from leads.db.items import StoredItems
from leads.errors import InvalidInput, LeadsError, Unavailable
from leads.events import ItemCreated, Subject
from leads.policies import Policies
from leads.predictions.batch import PredictionBatch
from serving.scoring.answers import ErrorEntry, GroupScores, ScoreAnswer, Scored
from serving.scoring.call import Call, Planned
from serving.scoring.group import Explain, Group
from serving.scoring.inputs import Input, ScoreRequest, refusal, settle, subjects
from serving.scoring.stages import Stages
from serving.scoring.text_cache import TextCache, Texts
from serving.trials.trials import Trials
from serving.versions.lineup import Lineup

__all__ = ["ErrorEntry", "ScoreAnswer", "ScoreRequest", "Scored", "Scorer"]


class Reader(Protocol):
    """`features.online.reader.OnlineReader`, as far as scoring uses it."""

    def fetch(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None = None) -> Fetched: ...


class Versions(Protocol):
    """`serving.versions.published.Published`, as far as scoring uses it."""

    def lineup(self) -> Lineup: ...


class Log(Protocol):
    """`leads.predictions.log.PredictionLog`, as far as scoring uses it."""

    def append(self, batch: PredictionBatch) -> None: ...


class Scorer:
    """Thread-safe; blocks on the database and the online store.

    Args:
        trials: watches canaries and has challengers score in shadow; None: a canary's failure is the call's.
    """

    def __init__(
        self,
        engine: Engine,
        policies: Policies,
        reader: Reader,
        published: Versions,
        log: Log,
        trials: Trials | None = None,
    ) -> None:
        self._items = StoredItems(engine)
        self._policies = policies
        self._reader = reader
        self._published = published
        self._log = log
        self._trials = trials
        self._texts = TextCache()

    def score(
        self,
        requests: Sequence[ScoreRequest],
        as_of: Micros,
        source: Literal["api", "worker"],
        *,
        explained: Explain = "nothing",
        stages: Stages | None = None,
    ) -> Scored:
        """Score each request under its harms as of one instant.

        With the database or the online store down, what can be scored on what is at hand is, flagged; without features
        it isn't logged.

        Args:
            explained: which answers get reasons: those that make leads, or all up to a cap.
            stages: the call's stopwatch, to be marked.

        Raises:
            NotFound: a request names a harm that policies.yaml doesn't declare.
        """
        call = Call(self._published.lineup(), as_of, source, explained, stages or Stages())
        stored = self._stored(requests)
        inputs = [settle(i, request, stored) for i, request in enumerate(requests)]
        call.stages.mark("lookup")
        fetched, available = self._fetch(inputs)
        call.stages.mark("features")
        errors: list[ErrorEntry] = []
        wanted: dict[str, list[Input]] = {}
        has_row: list[bool] = np.logical_or.reduce(fetched.row_at > 0, axis=1).tolist()
        for one in inputs:
            for harm, error in self._plan(one, has_row[one.place], call, available):
                if error:
                    errors.append(ErrorEntry(one.place, one.request.subject, harm, error))
                elif harm:
                    wanted.setdefault(harm, []).append(one)
        texts = Texts.of([one.text for one in inputs])
        groups: list[GroupScores] = []
        for harm in (harm for harm in self._policies.harms if harm in wanted):
            for group in call.groups(harm, wanted[harm], fetched, texts, available):
                groups += self._score_group(group, call, errors)
        order = {harm: i for i, harm in enumerate(self._policies.harms)}
        errors.sort(key=lambda x: (x.index, order.get(x.harm or "", -1)))
        return Scored(tuple(order), groups, errors, available and stored is not None)

    def _stored(self, requests: Sequence[ScoreRequest]) -> Mapping[Subject, ItemCreated] | None:
        """What the log holds about the subjects; None when the database doesn't answer."""
        try:
            return self._items.of(subjects(requests))
        except Unavailable:
            return None

    def _fetch(self, inputs: Sequence[Input]) -> tuple[Fetched, bool]:
        try:
            return self._reader.fetch([x.request.subject for x in inputs], [x.links for x in inputs]), True
        except Unavailable:
            nothing = np.zeros((len(inputs), len(ROLES)), np.int64)
            return Fetched(missing(len(inputs)), nothing, [x.links or Links() for x in inputs]), False

    def _plan(self, one: Input, has_row: bool, call: Call, available: bool) -> list[Planned]:
        """The harms to score, each with what stands in its way."""
        wanted = call.harms(one.request, self._harms)
        # Of a type that no harm applies to nothing else is said.
        if not isinstance(wanted[0][1], InvalidInput) or wanted[0][0] is not None:
            error = refusal(one, has_row, available)
            if error:
                return [(None, error)]
        if available:
            return wanted
        return [(harm, error or self._without_features(one, harm, call.lineup)) for harm, error in wanted]

    def _harms(self, request: ScoreRequest, lineup: Lineup) -> list[Planned]:
        """The harms to score a request of this kind under; never empty. (None, error) where none applies."""
        type_id = request.subject.type_id
        for i, harm in enumerate(request.harms or ()):
            self._policies.harm(harm, field=f"/harms/{i}")
        applying = self._policies.harms_for(type_id)
        if request.harms is None and not applying:
            return [(None, self._no_such_type(type_id))]
        allowed = self._policies.harms if request.allowed is None else request.allowed
        open_to = [harm for harm in applying if harm in lineup.champions and harm in allowed]
        harms = list(dict.fromkeys(request.harms)) if request.harms is not None else open_to
        if not harms:
            return [(None, Unavailable("No model version is published yet.", remedy="Train one: leads train"))]
        return [(harm, self._obstacle(type_id, harm, lineup)) for harm in harms]

    def _no_such_type(self, type_id: str) -> LeadsError:
        types = sorted({name for harm in self._policies.harms.values() for name in harm.subject_types})
        return InvalidInput(
            f"No harm applies to type {type_id!r}.",
            field="/typeId",
            remedy=f"Types that are judged: {', '.join(types)}.",
        )

    def _obstacle(self, type_id: str, harm: str, lineup: Lineup) -> LeadsError | None:
        types = self._policies.harms[harm].subject_types
        if type_id not in types:
            return InvalidInput(
                f"{harm} doesn't apply to this type.", field="/typeId", remedy=f"It does to: {', '.join(types)}."
            )
        if harm not in lineup.champions:
            return Unavailable(f"No model version of {harm} is published.", remedy=f"Train one: leads train {harm}")
        return None

    def _without_features(self, one: Input, harm: str | None, lineup: Lineup) -> LeadsError | None:
        """Why a harm isn't scored on the text alone while the online store doesn't answer; None where it is."""
        if harm is None:
            return None
        on_text = self._policies.harms[harm].scores_without_features and lineup.champions[harm].uses_text
        if on_text and one.text:
            return None
        return Unavailable("The online feature store doesn't answer.", remedy="Check that it runs, then try again.")

    def _score_group(self, group: Group, call: Call, errors: list[ErrorEntry]) -> list[GroupScores]:
        if group.role != "canary" or self._trials is None:
            return self._scored(group, call, errors)
        try:
            return self._scored(group, call, errors)
        except Exception as error:
            # Whatever ails it, its subjects get their answer.
            self._trials.failed(group.version, error)
            champion = call.lineup.champions[group.version.harm]
            return self._scored(group.given_to(champion, "champion", range(len(group.inputs))), call, errors)

    def _scored(self, group: Group, call: Call, errors: list[ErrorEntry]) -> list[GroupScores]:
        evaluated = call.evaluated(group, self._texts)
        refused = np.flatnonzero(evaluated.refused >= 0).tolist()
        refusals = [group.refusal(n, int(evaluated.refused[n])) for n in refused]
        if refused:
            kept = np.flatnonzero(evaluated.refused < 0)
            group, evaluated = group.only(kept.tolist()), evaluated.only(kept)
        found = [self._answered(group, evaluated, call)] if group.inputs else []
        errors += refusals
        return found

    def _answered(self, group: Group, evaluated: Evaluated, call: Call) -> GroupScores:
        call.stages.mark("evaluate")
        vector = group.vector(evaluated, self._texts)
        call.stages.mark("text")
        scores = group.version.score_vector(vector)
        call.stages.mark("predict")
        answered = group.answer(scores, evaluated.too_old, call.explained)
        call.stages.mark("answer" if call.explained == "nothing" else "explain")
        took_us = call.stages.took_us
        if group.available:
            self._log.append(group.batch(answered, scores, self._texts, took_us))
        if self._trials is not None:
            scoring_s = sum(stage.seconds for stage in call.stages.done[-3:-1])
            self._trials.scored(group, scores, call.lineup, self._texts, self._log.append, took_us, scoring_s)
        call.stages.mark("log")
        return answered
