"""A partition's rows of the live features, and of those that are becoming live or have just been.

While a generation of features is ready, the rows of both are written. Once the new rows of every partition are current,
it goes live. Readers notice within a second or two, so the rows of the old generation are written for a while longer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing

from sqlalchemy.engine import Engine

from features.declared import generations
from features.declared.feature_set import FeatureSet
from features.declared.generations import Generation
from features.deletion import delete_generation
from features.feast.store import open_store
from features.materialize import Materializer, OnProgress, Step
from features.offline.segments import Segments
from features.partition import Partition
from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.settings import Settings

# How often the generations are looked at, and for how long the rows of a retired one are still written, in seconds.
_LOOK_S = 1.0
_WRITTEN_S = 60.0
# How long rows of a retired generation are kept for those who still read its segments.
_KEPT: Micros = 15 * clock.MINUTE
_log = logging.getLogger(__name__)


class LiveRows:
    """What a worker writes. Hold `leads.files.only_one` while using it.

    Args:
        on_switch: called with the new features once their rows are the live ones, or once there are other own views.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        partition: Partition,
        *,
        on_switch: Callable[[FeatureSet], None] = lambda features: None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self.partition = partition
        self.on_switch = on_switch
        self._live = Materializer(settings, engine, partition=partition)
        # Its features, with the own views that are live now.
        self._features = self._live.features
        self._coming: Materializer | None = None
        self._old: Materializer | None = None
        self._old_until = self._look_at = 0.0
        self._reported = False

    @property
    def features(self) -> FeatureSet:
        """The features whose rows are the live ones."""
        return self._features

    @property
    def segments(self) -> Segments:
        """The segments of the live rows."""
        return self._live.segments

    @property
    def offset(self) -> int:
        """The offset of the last folded event."""
        return self._live.offset

    @property
    def failed(self) -> bool:
        """Whether a state store failed. Call `restore`."""
        return any(one.failed for one in self._every)

    @property
    def _every(self) -> list[Materializer]:
        return [one for one in (self._live, self._coming, self._old) if one is not None]

    def step(self, *, by: Micros | None = None, whole_to: int = 0) -> Step:
        """As `Materializer.step`; the other generations follow."""
        self._look()
        step = self._live.step(by=by, whole_to=whole_to)
        if self._coming is not None:
            self._follow(self._coming)
        if self._old is not None:
            self._old.step(until=self._live.offset)
            self._old.save()
            if time.monotonic() >= self._old_until:
                self._drop_old()
        return step

    def save(self) -> None:
        """As `Materializer.save`."""
        for one in self._every:
            one.save()

    def flush(self) -> None:
        """As `Materializer.flush`."""
        for one in self._every:
            one.flush()

    def restore(self) -> None:
        """As `Materializer.restore`."""
        for one in self._every:
            if one.failed:
                one.restore()

    def run_to_head(self, *, on_progress: OnProgress | None = None) -> int:
        """As `Materializer.run_to_head`; a generation that is ready goes live."""
        self._look()
        reached = self._live.run_to_head(on_progress=on_progress)
        while self._coming is not None:
            self._follow(self._coming)
            self._coming.flush()
            self._look_at = 0.0
            if not self._look():
                break
        return reached

    def close(self) -> None:
        """Close all stores."""
        for one in self._every:
            one.close()

    def _follow(self, coming: Materializer) -> None:
        """Bring the rows of the coming generation to where the live ones are."""
        coming.step(until=self._live.offset)
        coming.save()
        if not self._reported and coming.offset == self._live.offset:
            coming.flush()
            with self._engine.begin() as connection:
                head = self._live.offset
                generations.report(connection, coming.features.number, self.partition, head, head, done=True)
            self._reported = True

    def _look(self) -> bool:
        """Look at the generations, once a second; returns whether another one is live from now on."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _LOOK_S
        known = self._known()
        ready = generations.ready_among(known)
        if ready is not None and self._reported:
            shares = [Partition(i, self.partition.count) for i in range(self.partition.count)]
            with self._engine.begin() as connection:
                generations.go_live(connection, ready.number, shares)
            known = self._known()
        live = generations.live_among(known)
        if self._coming is None and ready is not None and live.number != ready.number:
            self._coming = Materializer(self._settings, self._engine, partition=self.partition, features=ready.features)
            self._reported = False
        switched = self._switch(live)
        if live.number == self._live.features.number and live.features is not self._features:
            self._features = live.features
            self.on_switch(live.features)
        if self.partition.index == 0 and self._old is None:
            self._delete_retired(known)
        return switched

    def _known(self) -> list[Generation]:
        # Without the database's write lock, because this happens all the time.
        with reading(self._engine) as connection:
            return generations.generations(connection)

    def _switch(self, live: Generation) -> bool:
        coming = self._coming
        if coming is None or live.number != coming.features.number or coming.offset != self._live.offset:
            return False
        if self._old is not None:
            self._drop_old()
        coming.flush()
        self._old, self._live, self._coming = self._live, coming, None
        self._old_until = time.monotonic() + _WRITTEN_S
        if self.partition.index == 0:
            # Feast's services name the views of the live features.
            open_store(self._settings, apply=True)
        _log.info("the features of generation %d are live", live.number)
        return True

    def _drop_old(self) -> None:
        if self._old is not None:
            with closing(self._old):
                self._old.flush()
            self._old = None

    def _delete_retired(self, known: list[Generation]) -> None:
        """Delete the rows of generations that nobody reads any more."""
        for one in known:
            if one.state == "retired" and clock.now() - (one.retired_at or 0) >= _KEPT:
                delete_generation(self._settings, one.features)
                with self._engine.begin() as connection:
                    generations.forget(connection, one.number)
