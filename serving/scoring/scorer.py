"""Scores subjects in bulk: one look-up per source, one evaluation per contract, one prediction per version.

A call goes one way: settle the inputs (`inputs`), fetch their stored rows, choose the harms (`planning`), group the
inputs by version (`groups`), score each group, and record the scores of all groups (`group_scorer`). It stops between
two steps once the request's deadline has passed; then nothing has been recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from sqlalchemy.engine import Engine

from features.layout import missing
from features.links import Links
from features.online.reader import Fetched
from leads.clock import Micros
from leads.db import deadline
from leads.db.content.stored_items import StoredItems
from leads.errors import Unavailable
from leads.events import Subject
from leads.language.stated import NO_FIELDS, LanguageFields
from leads.policies import Policies
from serving.lineup import Lineup, LineupSource
from serving.scoring.assemble import Explain
from serving.scoring.group_scorer import GroupScorer
from serving.scoring.groups import ScoringContext, Source, groups_by_version
from serving.scoring.inputs import Input, ScoreRequest, Stored, settle, stored_of, stored_text, with_text
from serving.scoring.interfaces import FeatureReader, PredictionSink
from serving.scoring.own_fields import put_given
from serving.scoring.planning import HarmPlanner
from serving.scoring.results import ScoringResult
from serving.scoring.stages import Stages
from serving.scoring.texts.cache import TextCache, TextColumn
from serving.scoring.texts.limits import NO_LIMITS, Limits, TooMuchText, WouldWait, text_to_score
from serving.trials.trials import Trials


class _Read(NamedTuple):
    """What is stored about n subjects.

    Args:
        available: whether the online store responded. If not, every row is missing.
        complete: whether the database responded too.
        stored_bytes: bytes of stored text that scoring reads.
    """

    inputs: Sequence[Input]
    fetched: Fetched
    available: bool
    complete: bool
    stored_bytes: int


class Scorer:
    """Thread-safe; blocks on the database and the online store.

    Args:
        engine: of the database that stores items.
        lineups: gives the versions to score with; asked once per call.
        trials: watches canaries and scores challengers in shadow. If None, a failing canary fails the call.
        languages: the fields that state an item's language, by type.
    """

    def __init__(
        self,
        engine: Engine,
        policies: Policies,
        reader: FeatureReader,
        lineups: LineupSource,
        sink: PredictionSink,
        trials: Trials | None = None,
        languages: LanguageFields = NO_FIELDS,
    ) -> None:
        self._items = StoredItems(engine, partial(stored_of, languages=languages))
        self._languages = languages
        self._policies = policies
        self._planner = HarmPlanner(policies)
        self._reader = reader
        self._lineups = lineups
        self._sink = sink
        self._trials = trials
        self._text_cache = TextCache()

    @property
    def prompt(self) -> bool:
        """Whether the database answers so soon that an event loop can wait for it."""
        return self._items.prompt

    def score(
        self,
        requests: Sequence[ScoreRequest],
        as_of: Micros,
        source: Source,
        *,
        explained: Explain = "nothing",
        stages: Stages | None = None,
        limits: Limits = NO_LIMITS,
    ) -> ScoringResult:
        """Score each request under its harms, with features as of one instant.

        While the database or the online store is down, what can be scored without it is scored and flagged. Scores
        without stored features aren't logged.

        Args:
            as_of: µs since epoch.
            explained: which scores get reasons: none, those that make leads, or all up to a limit per harm.
            stages: the call's stopwatch, to be marked.

        Raises:
            NotFound: a request names a harm that policies.yaml doesn't declare.
            TooMuchText: there is more text than the limit.
            WouldWait: the call may not wait for the database, but would have to.
            OutOfTime: the request's deadline has passed. Nothing was recorded.
        """
        lineup = self._lineups.lineup()
        stages = stages or Stages()
        inputs, fetched, available, complete, stored_bytes = self._read(requests, lineup, limits, stages, as_of)
        deadline.check()
        plan = self._planner.plan(inputs, fetched, lineup, available)
        texts = TextColumn(tuple([one.text for one in inputs]), tuple([one.digest for one in inputs]))
        stated = [one.language for one in inputs]
        context = ScoringContext(lineup, as_of, source, fetched, texts, available, stated)
        scorer = GroupScorer(context, explained, stages, self._text_cache, self._sink, self._trials)
        outcomes = [
            scorer.score(group)
            for harm, chosen in plan.inputs.items()
            for group in groups_by_version(harm, chosen, context)
        ]
        scored = [group for group, _ in outcomes if group is not None]
        for group in scored:
            scorer.record(group)
        errors = [*plan.errors, *(error for _, refused in outcomes for error in refused)]
        order = {harm: i for i, harm in enumerate(self._policies.harms)}
        errors.sort(key=lambda x: (x.index, order.get(x.harm or "", -1)))
        groups = [group.assembled for group in scored]
        return ScoringResult(tuple(order), groups, errors, complete, stored_bytes)

    def _read(
        self, requests: Sequence[ScoreRequest], lineup: Lineup, limits: Limits, stages: Stages, as_of: Micros
    ) -> _Read:
        """What is stored about the requests' subjects: their items first, because these name the rows.

        Items that are in memory name them at once. Then both stores are asked at the same time, and everything is read
        again if the items turn out to have changed.
        """
        if all(request.text is not None and not request.fields for request in requests):
            # Only given texts are scored, so too much of them is known before anything is read.
            self._check_text(requests, None, lineup, limits)
        subjects = {request.subject for request in requests}
        asked = self._items.ask(subjects)
        if asked is not None:
            with asked:
                read = self._read_rows(requests, asked.remembered, lineup, limits, stages, as_of)
                is_current = asked.confirmed()
                stages.mark("lookup")
            if is_current:
                return read
        stored = self._stored_items(subjects, limits)
        if stored is None and not limits.waits:
            raise WouldWait
        return self._read_rows(requests, stored, lineup, limits, stages, as_of)

    def _read_rows(
        self,
        requests: Sequence[ScoreRequest],
        stored: Mapping[Subject, Stored] | None,
        lineup: Lineup,
        limits: Limits,
        stages: Stages,
        as_of: Micros,
    ) -> _Read:
        requests = [with_text(request, stored) if request.fields else request for request in requests]
        stored_bytes = self._check_text(requests, stored, lineup, limits)
        inputs = [settle(i, request, stored, self._languages) for i, request in enumerate(requests)]
        stages.mark("lookup")
        deadline.check()
        fetched, available = self._fetch(inputs)
        if any(request.fields for request in requests):
            put_given(fetched, inputs, as_of)
        stages.mark("features")
        return _Read(inputs, fetched, available, available and stored is not None, stored_bytes)

    def _check_text(
        self,
        requests: Sequence[ScoreRequest],
        stored: Mapping[Subject, Stored] | None,
        lineup: Lineup,
        limits: Limits,
    ) -> int:
        """How many bytes of stored text the requests read. Raises TooMuchText if there is more text than the limit."""
        stored_bytes = stored_text(requests, stored)
        if limits != NO_LIMITS:
            size = text_to_score(requests, stored, self._policies, lineup, self._text_cache, limits)
            if limits.exclude(size):
                raise TooMuchText(size, stored_bytes)
        return stored_bytes

    def _stored_items(self, subjects: Collection[Subject], limits: Limits) -> Mapping[Subject, Stored] | None:
        """The newest stored item of each subject; None if the database is down, or makes a call wait that may not."""
        try:
            return self._items.of(subjects) if limits.waits else self._items.promptly(subjects)
        except Unavailable:
            return None

    def _fetch(self, inputs: Sequence[Input]) -> tuple[Fetched, bool]:
        """The inputs' stored rows, and whether the online store responded. If not, every row is missing."""
        try:
            return self._reader.fetch([x.request.subject for x in inputs], [x.links for x in inputs]), True
        except Unavailable:
            features = self._reader.features
            nothing = np.zeros((len(inputs), len(features.roles)), np.int64)
            rows = missing(features.roles, len(inputs))
            return Fetched(rows, nothing, [x.links or Links() for x in inputs], features), False
