"""The worker: follows the event log, updates feature rows, scores touched subjects, and offers them as leads.

Scores are computed as of the time the newest folded event became visible, not the current time. A backlog is processed
in steps of one hour of event time. After each step's leads, and before its feature rows are saved, the cursor of
scored events moves. So replaying the log, or restarting a killed worker, gives the same leads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from sqlalchemy.engine import Engine

from features.materialize import Materializer
from leads import clock
from leads.clock import Clock, Micros
from leads.db import cursors, event_log
from leads.db.engine import reading
from leads.errors import LeadsError, Unavailable
from leads.events import DecisionMade, LoggedEvent, Subject
from leads.policies import Policies
from leads.rules import touched_by
from serving.lineup import LineupSource
from serving.queue import leases
from serving.queue.offers import Offer, offer
from serving.queue.settling import settle
from serving.scoring.inputs import ScoreRequest
from serving.scoring.results import SubjectError, SubjectScore
from serving.scoring.scorer import Scorer

_CHUNK = 1_000
_IDLE_S = 0.05
_EXPIRY_S = 1.0
_BACKLOG: Micros = clock.HOUR
_log = logging.getLogger(__name__)

KeepGoing = Callable[[], bool]
OnProgress = Callable[[int, int], None]


class Progress(NamedTuple):
    """Progress of a worker: the offset of the last folded event, subjects scored, and leads opened."""

    offset: int
    scored: int
    opened: int


class Worker:
    """The worker of one partition. Hold its lock (`leads.files.only_one`) while it exists."""

    def __init__(
        self,
        policies: Policies,
        engine: Engine,
        scorer: Scorer,
        published: LineupSource,
        materializer: Materializer,
        *,
        clock_: Clock = clock.now,
    ) -> None:
        partition = materializer.partition
        self._cursor = cursors.scored_name(partition.index, partition.count)
        self._policies = policies
        self._engine = engine
        self._scorer = scorer
        self._published = published
        self._materializer = materializer
        self._touched: dict[Subject, None] = {}
        self._decided: list[LoggedEvent] = []
        self._clock = clock_
        self._next_expiry = 0.0
        self._visible_at: Micros = 0
        self._scored = self._opened = self._scored_offset = 0

    @property
    def has_models(self) -> bool:
        """Whether any champion is loaded."""
        return bool(self._published.lineup().champions)

    @property
    def progress(self) -> Progress:
        return Progress(self._materializer.offset, self._scored, self._opened)

    def run(self, keep_going: KeepGoing) -> Progress:
        """Process new events while `keep_going()` is true."""
        self._resume()
        while keep_going():
            try:
                busy = self.step()
                self._expire_leases()
            except Unavailable as error:
                # The store or the database may be back soon. Nothing was recorded as done, so the step can be repeated.
                _log.warning("waiting to try again: %s", error)
                time.sleep(1.0)
                continue
            if not busy:
                time.sleep(_IDLE_S)
        self._materializer.flush()
        return self.progress

    def run_once(self, *, on_progress: OnProgress | None = None) -> Progress:
        """Fold and score all events now in the log, then return."""
        with reading(self._engine) as connection:
            target = event_log.head(connection).offset
        if self.has_models:
            self._resume()
            start = self._materializer.offset
            while self._materializer.offset < target or self._touched:
                self.step()
                if on_progress:
                    on_progress(self._materializer.offset - start, target - start)
        self._materializer.run_to_head(on_progress=on_progress)
        self._save_cursor()
        return self.progress

    def fold(self, *, on_progress: OnProgress | None = None) -> None:
        """Fold all events now in the log, without scoring."""
        self._materializer.run_to_head(on_progress=on_progress)

    def step(self) -> bool:
        """Read new events, and score touched subjects once their rows are online. False if there was nothing new."""
        events, online, behind = self._materializer.step(by=_BACKLOG if self.has_models else None)
        self._touch(events)
        if online:
            while self._touched:
                self._score_batch()
            self._settle_decided()
            if self._materializer.offset > self._scored_offset:
                self._save_cursor()
            self._materializer.save()
        return bool(events) or behind

    def _resume(self) -> None:
        """Continue after the last scored event, touching again what was folded but not scored."""
        with reading(self._engine) as connection:
            self._scored_offset = cursors.position(connection, self._cursor)
        if self.has_models and self._scored_offset < self._materializer.offset:
            self._touch(event_log.read_all(self._engine, after=self._scored_offset, up_to=self._materializer.offset))

    def _touch(self, events: Iterable[LoggedEvent]) -> None:
        scored_types = {
            type_id
            for harm in self._published.lineup().champions
            for type_id in self._policies.harm(harm).subject_types
        }
        for logged in events:
            self._visible_at = logged.visible_at
            if logged.offset <= self._scored_offset:
                continue
            if isinstance(logged.event.body, DecisionMade):
                if self._materializer.partition.owns("item", logged.event.body.subject.subject.key):
                    self._decided.append(logged)
                continue
            for subject in touched_by(logged.event):
                if subject.type_id in scored_types and self._materializer.partition.owns("item", subject.key):
                    self._touched[subject] = None

    def _score_batch(self) -> None:
        batch = list(islice(self._touched, _CHUNK))
        requests = [ScoreRequest(subject) for subject in batch]
        scored = self._scorer.score(requests, self._visible_at, "worker", explained="leads")
        if not scored.available:
            # The worker waits for the store: leads must not be based on incomplete data.
            raise Unavailable(
                "The online store or the database doesn't respond.", remedy="Check that both are running."
            )
        offers = [self._offer(score) for group in scored.groups for score in group.records()]
        with self._engine.begin() as connection:
            # A lead's waiting time starts with its evidence, even if this worker is late.
            self._opened += offer(connection, offers, self._visible_at, self._policies.queue).opened
        self._report(scored.errors)
        for subject in batch:
            del self._touched[subject]
        self._scored += len(batch)

    def _expire_leases(self) -> None:
        """Open leads whose lease has run out, at most once a second."""
        if time.monotonic() < self._next_expiry:
            return
        self._next_expiry = time.monotonic() + _EXPIRY_S
        now = self._clock()
        with reading(self._engine) as connection:
            expired = leases.any_expired(connection, now)
        if expired:
            with self._engine.begin() as connection:
                leases.expire(connection, now)

    def _settle_decided(self) -> None:
        """Close leads that were decided other than through the queue."""
        if self._decided:
            with self._engine.begin() as connection:
                event_log.lock_head(connection)
                settle(connection, self._decided)
            self._decided = []

    def _save_cursor(self) -> None:
        with self._engine.begin() as connection:
            cursors.move(connection, self._cursor, self._materializer.offset)
        self._scored_offset = self._materializer.offset

    def _offer(self, score: SubjectScore) -> Offer:
        return Offer(
            subject=score.subject,
            harm=score.harm,
            score=score.score,
            tier=score.tier,
            model_version=score.version,
            prediction_id=score.prediction_id,
            reasons=score.reasons or (),
            severity=self._policies.harm(score.harm).severity,
            exposure=score.exposure,
            scored_at=score.at,
        )

    def _report(self, errors: Sequence[SubjectError]) -> None:
        """Log subjects that can't be scored: for example, subjects known only from signals. They don't become leads."""
        if errors:
            first: LeadsError = errors[0].error
            _log.info("%d subjects could not be scored; the first error: %s", len(errors), first.message)
