"""Score subjects under harms: one look-up for all, one matrix per harm, each act noted in the prediction log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
from sqlalchemy.engine import Engine

from features.columns import Evaluated
from features.online import Fetched
from features.routes import Links
from features.rows import ROLES, Matrix, missing
from leads import clock, event_log
from leads.clock import Micros
from leads.errors import InvalidInput, LeadsError, Unavailable
from leads.policies import Policies
from leads.predictions import PredictionBatch
from leads.records import Subject
from leads.tables import reading
from models.version import ModelVersion, Scores
from serving.answers import ErrorEntry, ScoreAnswer
from serving.inputs import Input, ScoreRequest, refusal, settle, subjects
from serving.score_group import Explain, Group
from serving.stages import Stages
from serving.text_cache import TextCache

__all__ = ["ErrorEntry", "ScoreAnswer", "ScoreRequest", "Scorer"]

_Matrices = dict[tuple[str, tuple[int, ...]], Evaluated]


class Reader(Protocol):
    """`features.online.OnlineReader`, as far as scoring uses it."""

    def fetch(self, subjects: Sequence[Subject], links: Sequence[Links | None] | None = None) -> Fetched: ...


class Champions(Protocol):
    """`serving.published.Published`, as far as scoring uses it."""

    def champions(self) -> Mapping[str, ModelVersion]: ...


class Log(Protocol):
    """`leads.predictions.PredictionLog`, as far as scoring uses it."""

    def append(self, batch: PredictionBatch) -> None: ...


class Scorer:
    """Thread-safe; blocks on the database and the online store."""

    def __init__(self, engine: Engine, policies: Policies, reader: Reader, published: Champions, log: Log) -> None:
        self._engine = engine
        self._policies = policies
        self._reader = reader
        self._published = published
        self._log = log
        self._texts = TextCache()

    def score(
        self,
        requests: Sequence[ScoreRequest],
        as_of: Micros,
        source: Literal["api", "worker"],
        *,
        explained: Explain = "nothing",
    ) -> list[ScoreAnswer | ErrorEntry]:
        """Score each request under its harms as of one instant; answers in the order of requests, then of harms.

        With the online store down, harms judged by text are still scored, flagged and not logged.

        Args:
            explained: which answers get reasons: those that make leads, or all up to a cap.

        Raises:
            NotFound: a request names a harm that policies.yaml doesn't declare.
        """
        stages, champions = Stages(), self._published.champions()
        with reading(self._engine) as connection:
            stored = event_log.items(connection, subjects(requests))
        inputs = [settle(i, request, stored) for i, request in enumerate(requests)]
        fetched, available = self._fetch(inputs)
        out: list[ScoreAnswer | ErrorEntry] = []
        wanted: dict[str, list[Input]] = {}
        for one in inputs:
            for harm, error in self._plan(one, bool(fetched.row_at[one.place].any()), champions, available):
                if error:
                    out.append(ErrorEntry(one.place, one.request.subject, harm, error))
                elif harm:
                    wanted.setdefault(harm, []).append(one)
        matrices: _Matrices = {}
        for harm, chosen in wanted.items():
            picked = tuple(one.place for one in chosen)
            group = Group(champions[harm], chosen, picked, fetched, available, as_of)
            out.extend(self._score_group(group, matrices, source, explained, stages))
        order = {harm: i for i, harm in enumerate(self._policies.harms)}
        return sorted(out, key=lambda x: (x.index, order.get(x.harm or "", -1)))

    def _fetch(self, inputs: Sequence[Input]) -> tuple[Fetched, bool]:
        try:
            return self._reader.fetch([x.request.subject for x in inputs], [x.links for x in inputs]), True
        except Unavailable:
            nothing = np.zeros((len(inputs), len(ROLES)), np.int64)
            return Fetched(missing(len(inputs)), nothing, [x.links or Links() for x in inputs]), False

    def _plan(
        self, one: Input, has_row: bool, champions: Mapping[str, ModelVersion], available: bool
    ) -> list[tuple[str | None, LeadsError | None]]:
        """The harms to score, each with what stands in its way."""
        asked = one.request.harms
        for i, harm in enumerate(asked or ()):
            self._policies.harm(harm, field=f"/harms/{i}")
        applying = self._policies.harms_for(one.request.subject.type_id)
        if asked is None and not applying:
            return [(None, self._no_such_type(one.request.subject.type_id))]
        error = refusal(one, has_row)
        if error:
            return [(None, error)]
        allowed = self._policies.harms if one.request.allowed is None else one.request.allowed
        open_to = [harm for harm in applying if harm in champions and harm in allowed]
        harms = dict.fromkeys(asked) if asked is not None else open_to
        if not harms:
            return [(None, Unavailable("No model version is published yet.", remedy="Train one: leads train"))]
        return [(harm, self._obstacle(one, harm, champions, available)) for harm in harms]

    def _no_such_type(self, type_id: str) -> LeadsError:
        types = sorted({name for harm in self._policies.harms.values() for name in harm.subject_types})
        return InvalidInput(
            f"No harm applies to type {type_id!r}.",
            field="/typeId",
            remedy=f"Types that are judged: {', '.join(types)}.",
        )

    def _obstacle(
        self, one: Input, harm: str, champions: Mapping[str, ModelVersion], available: bool
    ) -> LeadsError | None:
        types = self._policies.harms[harm].subject_types
        if one.request.subject.type_id not in types:
            return InvalidInput(
                f"{harm} doesn't apply to this type.", field="/typeId", remedy=f"It does to: {', '.join(types)}."
            )
        if harm not in champions:
            return Unavailable(f"No model version of {harm} is published.", remedy=f"Train one: leads train {harm}")
        if not available and not (champions[harm].uses_text and one.text):
            return Unavailable("The online feature store doesn't answer.", remedy="Check that it runs, then try again.")
        return None

    def _score_group(
        self,
        group: Group,
        matrices: _Matrices,
        source: Literal["api", "worker"],
        explained: Explain,
        stages: Stages,
    ) -> list[ScoreAnswer | ErrorEntry]:
        key = (group.version.contract.hash, group.picked)
        if key not in matrices:
            matrices[key] = group.features()
        matrix, refused, too_old = matrices[key]
        errors = [group.refusal(n, column) for n, column in enumerate(refused.tolist()) if column >= 0]
        if errors:
            kept = np.flatnonzero(refused < 0)
            if not len(kept):
                return list(errors)
            group, matrix, too_old = group.only(kept.tolist()), matrix[kept], too_old[kept]
        scores = self._scores(group, matrix)
        stages.mark("score")
        answers = group.answers(scores, too_old.tolist(), explained)
        if group.available:
            self._log.append(group.predictions(scores, answers, clock.now(), stages.took_us, source))
        return [*errors, *answers]

    def _scores(self, group: Group, features: Matrix) -> Scores:
        version = group.version
        if not version.uses_text:
            return version.score_vector(features)
        texts = [one.text for one in group.inputs]
        column = self._texts.scores(version.harm, version.version, texts, version.text_scores)
        return version.score_vector(np.column_stack((features, column)))
