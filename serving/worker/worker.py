"""The worker: follows the event log, updates feature rows, scores touched subjects, and offers them as leads.

Scores are computed as of the time the newest folded event became visible, not the current time. A backlog is processed
in steps of one hour of event time. After each step's leads, and before its feature rows are saved, the cursor of
scored events moves. So replaying the log, or restarting a killed worker, gives the same leads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import NamedTuple

from sqlalchemy.engine import Engine

from features.live_rows import LiveRows
from features.materialize import Materializer
from leads import clock
from leads.clock import Clock, Micros
from leads.db import cursors, event_log
from leads.db.engine import reading
from leads.db.progress import unscored
from leads.errors import Unavailable
from leads.events import DecisionMade, LoggedEvent, Subject
from leads.policies import Policies
from leads.processes import search_paused
from leads.rules import touched_by
from serving.lineup import LineupSource
from serving.observe.event_lags import EventLags
from serving.queue import leases
from serving.queue.settling import settle
from serving.queue.upkeep import Upkeep
from serving.scoring.scorer import Scorer
from serving.worker.lead_scoring import LeadScorer

_CHUNK = 1_000
_IDLE_S = 0.05
_EXPIRY_S = _UPKEEP_S = 1.0
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
        materializer: LiveRows | Materializer,
        *,
        lags: EventLags | None = None,
        clock_: Clock = clock.now,
    ) -> None:
        partition = materializer.partition
        self._cursor = cursors.scored_name(partition.index, partition.count)
        self._rebuild = cursors.rebuild_name(partition.index, partition.count)
        self._rebuild_to = 0
        self._policies = policies
        self._engine = engine
        self._leads = LeadScorer(policies, engine, scorer)
        self._published = published
        self._materializer = materializer
        self._touched: dict[Subject, None] = {}
        # The harms that had no champion while events were processed that the cursor doesn't include yet.
        self._without: set[str] = set()
        self._champions: set[str] = set()
        self._decided: list[LoggedEvent] = []
        self._lags = EventLags(None) if lags is None else lags
        self._clock = clock_
        self._next_expiry = self._next_upkeep = 0.0
        # One worker is enough.
        self._upkeep = Upkeep(engine, policies.queue, clock_=clock_) if partition.index == 0 else None
        self._visible_at: Micros = 0
        # Whether the state store has failed since this worker last started from it.
        self._interrupted = False
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
                if self._interrupted:
                    self._start_again()
                busy = self.step()
                self._expire_leases()
                self._keep_queue()
            except Unavailable as error:
                # What failed may be back soon. Nothing was recorded as done, so the step can be repeated.
                _log.warning("waiting to try again: %s", error)
                self._interrupted = self._interrupted or self._materializer.failed
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
        self._resume()
        if self.has_models:
            start = self._materializer.offset
            while self._materializer.offset < target or self._touched or self._decided:
                self.step()
                if on_progress:
                    on_progress(self._materializer.offset - start, target - start)
            # Only what was scored: events that have arrived since are for the next run.
            self._materializer.flush()
        else:
            self._materializer.run_to_head(on_progress=on_progress)
            self._without = set(self._policies.harms)
            self._settle_decided()
        self._save_cursor()
        self._end_rebuild()
        if self._upkeep:
            self._upkeep.finish()
        return self.progress

    def fold(self, *, on_progress: OnProgress | None = None) -> None:
        """Fold all events now in the log, without scoring."""
        self._materializer.run_to_head(on_progress=on_progress)

    @search_paused()
    def step(self) -> bool:
        """Read new events, and score touched subjects once their rows are online. False if there was nothing new."""
        scoring = self.has_models
        # What was scored before is only folded again, after a rebuild.
        events, online, behind = self._materializer.step(by=_BACKLOG if scoring else None, whole_to=self._scored_offset)
        self._touch(events)
        if online:
            self._lags.online(self._clock())
        # While nothing is scored, nothing waits for rows to be online: what was folded of a long backlog is saved.
        if online or not (scoring or self._touched):
            while self._touched:
                self._score_batch()
            self._settle_decided()
            if self._materializer.offset > self._scored_offset:
                self._save_cursor()
            self._materializer.save()
        elif self._materializer.offset < self._scored_offset:
            self._materializer.save()
        if online:
            self._end_rebuild()
        return bool(events) or behind

    def _resume(self) -> None:
        """Continue after the last scored event, touching again what was folded but not scored."""
        partitions = self._materializer.partition.count
        with reading(self._engine) as connection:
            self._scored_offset = cursors.position(connection, self._cursor)
            self._rebuild_to = cursors.position(connection, self._rebuild)
            before = max(cursors.position(connection, cursors.scored_name(i, partitions)) for i in range(partitions))
            new = self._policies.harms.keys() - unscored.known(connection)
        if new:
            with self._engine.begin() as connection:
                unscored.begin(connection, new, before)
        if self._scored_offset < self._materializer.offset:
            self._touch(event_log.read_all(self._engine, after=self._scored_offset, up_to=self._materializer.offset))

    def _start_again(self) -> None:
        """Continue from the stored state as a new worker would, because the state store failed."""
        self._touched, self._decided = {}, []
        self._materializer.restore()
        self._resume()
        self._interrupted = False

    def _touch(self, events: Iterable[LoggedEvent]) -> None:
        champions = self._published.lineup().champions
        scored_types = {type_id for harm in champions for type_id in self._policies.harm(harm).subject_types}
        without = self._policies.harms.keys() - champions.keys()
        if champions.keys() - self._champions:
            self._note_unscored(champions.keys() - self._champions)
            self._champions |= champions.keys()
        for logged in events:
            self._visible_at = logged.visible_at
            if logged.offset <= self._scored_offset:
                continue
            self._lags.arrived(logged.visible_at)
            self._without |= without
            if isinstance(logged.event.body, DecisionMade):
                if self._materializer.partition.owns("item", logged.event.body.subject.subject.key):
                    self._decided.append(logged)
                continue
            for subject in touched_by(logged.event):
                if subject.type_id in scored_types and self._materializer.partition.owns("item", subject.key):
                    self._touched[subject] = None

    def _note_unscored(self, harms: AbstractSet[str]) -> None:
        """Log which events came before these harms had a champion."""
        with reading(self._engine) as connection:
            parts = unscored.parts(connection)
        for harm in sorted(harms & parts.keys()):
            _log.info(
                "subjects of the events up to %d were not scored for %s, which had no champion; to score those that "
                "nothing has touched since: leads score-backlog --harm %s",
                parts[harm][-1].up_to,
                harm,
                harm,
            )

    def _score_batch(self) -> None:
        batch = list(islice(self._touched, _CHUNK))
        self._opened += self._leads.score(batch, self._visible_at).opened
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
                leases.expire(connection, queue=self._policies.queue, now=now)

    def _keep_queue(self) -> None:
        """Rank leads and reconcile counts where needed: a moment at a time, once a second or while there is more."""
        if self._upkeep and time.monotonic() >= self._next_upkeep and not self._upkeep.step():
            self._next_upkeep = time.monotonic() + _UPKEEP_S

    def _settle_decided(self) -> None:
        """Close leads that were decided other than through the queue."""
        if self._decided:
            with self._engine.begin() as connection:
                event_log.lock_head(connection)
                settle(connection, self._decided)
            self._decided = []

    def _save_cursor(self) -> None:
        """Record what has been processed, and for which harms it was not scored."""
        processed = unscored.Part(self._scored_offset, max(self._scored_offset, self._materializer.offset))
        with self._engine.begin() as connection:
            cursors.move(connection, self._cursor, processed.up_to)
            if self._without and processed.after < processed.up_to:
                unscored.extend(connection, self._without, processed)
        self._scored_offset = processed.up_to
        self._without = set()

    def _end_rebuild(self) -> None:
        """Record that all rows are there again, once they are online."""
        if self._rebuild_to and self._materializer.offset >= self._rebuild_to:
            with self._engine.begin() as connection:
                cursors.move(connection, self._rebuild, 0)
            self._rebuild_to = 0
