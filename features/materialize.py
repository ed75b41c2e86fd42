"""Event log → fold → segments and online rows. The worker runs this on the tail of the log; a replay, over history.

Three things are written, each with its own offset: rows to the online store, then segments, then the fold's state. If
killed, it resumes from the state, which is the oldest, and folds the events after it again: rows up to the manifest's
offset are in the segments already. A mark records how far an online write was started and how far it certainly got.
Rows after the second are written again, and nothing before the fold has reached the first, so no row goes back in time.
A row in the online store records the same, so that it is noticed when the store loses data.

The first pass over a log is different: as long as nothing is online, rows only go to segments and to the state. Once it
has caught up, a sweep writes the state's rows online. The same happens after the online store has lost data.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy.engine import Engine

from features.declared.feature_set import FeatureSet
from features.declared.generations import live
from features.fold.fold import Fold, empty_batch
from features.log_tail import LogTail, check_log
from features.offline.segments import segments_of
from features.online.mark import FORM, OnlineMark
from features.online.sweep import Sweep
from features.online.writer import Newest, OnlineWriter, collect
from features.partition import WHOLE, Partition
from features.state.fence import new_owner
from features.state_stores import open_state
from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.events import LoggedEvent
from leads.processes import search_paused, search_seldom
from leads.settings import Settings

_SEGMENT_BYTES = 64 * 1024 * 1024
# A commit of the state writes each value once, however often it has changed: the fewer, the cheaper.
_CHANGES = 150_000
# How often to check that the log and the online store still hold what they held, in seconds.
_CHECK_S = 1.0

OnProgress = Callable[[int, int], None]


class Step(NamedTuple):
    """The result of one `Materializer.step`.

    Args:
        events: the events folded in this step.
        online: whether every folded row is in the online store.
        behind: whether more events are waiting.
    """

    events: list[LoggedEvent]
    online: bool
    behind: bool


class Materializer:
    """The only writer of a partition's feature rows. Hold `leads.files.only_one` while using it.

    Args:
        read: maximum number of events to fold per step.
        partition: the share of the keys whose rows this instance writes.
        features: whose rows it writes; by default, the live ones.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        read: int = 5_000,
        partition: Partition = WHOLE,
        features: FeatureSet | None = None,
    ) -> None:
        self.features = features or live(engine)
        self._read = read
        self._settings, self._engine = settings, engine
        self.partition = partition
        self.segments = segments_of(settings, partition, self.features)
        self._online = OnlineWriter(settings, self.features)
        self._online_mark = OnlineMark(settings, partition, self._online, self.features)
        self._owner = new_owner()
        self.segments.prepare()
        self._state = open_state(settings, partition, self.features, owner=self._owner)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def restore(self) -> None:
        """Continue from the stored state after `failed`, as a new process would.

        Raises:
            Conflict: another worker has taken over the partition.
            Unavailable: the state store doesn't respond.
        """
        self._state.close()
        self._state = open_state(self._settings, self.partition, self.features, owner=self._owner, take_over=False)
        self._begin()

    def _begin(self) -> None:
        self._online_mark.read_again()
        manifest = self.segments.manifest()
        self._stored = manifest.offset
        self._fold = Fold(self._state, self.features, self.partition)
        self._offset = self._state.position()
        self.segments.check_reaches(self._offset)
        # The state isn't ahead of the segments, so its event is there if theirs is.
        check_log(
            self._engine,
            [
                (manifest.offset, manifest.visible_at),
                (self._online_mark.value.started, self._online_mark.value.started_at),
            ],
        )
        with reading(self._engine) as connection:
            self._visible_at = event_log.visible_at(connection, self._offset)
        self._tail = LogTail(self._engine, self._read)
        # On the first pass, the state is ahead of the online rows.
        self._first_pass = not self._online_mark.value.started or self._online_mark.value.done < self._offset
        self._sweep: Sweep | None = None
        self._waiting: Newest = {layout.view: {} for layout in self.features.layouts}
        self._rows, self._rows_size, self._check_at = empty_batch(self.features), 0, 0.0
        self._segment_at = self._online_at = time.monotonic()

    @property
    def failed(self) -> bool:
        """Whether the state store failed, so that the fold may have counted part of a batch. Call `restore`."""
        return self._state.failed

    @property
    def offset(self) -> int:
        """The offset of the last folded event."""
        return self._offset

    def close(self) -> None:
        """Close the stores."""
        self._state.close()
        self._online_mark.close()

    @search_paused()
    def step(self, *, by: Micros | None = None, whole_to: int = 0, until: int | None = None) -> Step:
        """Fold new events, and write online rows when a write is due.

        Args:
            by: length in µs of the clock intervals into which a backlog is cut. A step stops at the end of the interval
                in which its first event became visible and, if more events are waiting, writes the rows online at once,
                so that a backlog is replayed as it came in. None: fold the backlog as a whole and write only each
                entity's newest row.
            whole_to: the backlog up to this offset is folded as a whole in any case.
            until: no event after this offset is folded.

        Raises:
            ConfigurationError: the log has lost events that were folded.
        """
        if self._offset < whole_to:
            by = None
        if by is not None and self._first_pass:
            # What is scored has to be online first, and must not be saved before.
            self._write_online()
            self._first_pass = self._to_write
        batch = self._tail.read(self._offset, until)
        new, end = batch, None
        # The segments have the rows up to `_stored` already.
        whole_to = self._stored if self._offset < self._stored else whole_to
        if self._offset < whole_to:
            new = batch[: bisect_right(batch, whole_to, key=lambda logged: logged.offset)]
        elif by is not None and batch:
            end = (batch[0].visible_at // by + 1) * by
            # `visible_at` rises along the log.
            new = batch[: bisect_left(batch, end, key=lambda logged: logged.visible_at)]
        if new:
            self._tail.put_back(batch[len(new) :], new[-1].offset)
        following = self._tail.following
        cut = following is not None and end is not None and following.visible_at >= end
        self._apply(new)
        now = time.monotonic()
        if cut or (not following and now - self._online_at >= self._settings.online_flush_s):
            self._write_online()
        if not following:
            self._rewrite_some()
        return Step(new, online=not self._to_write, behind=following is not None)

    @property
    def _to_write(self) -> bool:
        """Whether folded rows are missing in the online store."""
        return any(self._waiting.values()) or (self._first_pass and self._offset > 0)

    def _apply(self, new: list[LoggedEvent]) -> None:
        if not new:
            return
        self._fold.apply(new)
        batch = self._fold.take()
        if self._offset >= self._stored:
            for view, rows in batch.items():
                self._rows[view].extend(rows)
                self._rows_size += sum(map(len, rows.rows))
        self._offset, self._visible_at = new[-1].offset, new[-1].visible_at
        if self._offset > self._online_mark.value.done and not self._first_pass:
            collect(batch, self._waiting, after=self._online_mark.value.done)

    @search_seldom()
    def run_to_head(self, *, on_progress: OnProgress | None = None) -> int:
        """Fold and write everything in the log; returns the offset reached."""
        with reading(self._engine) as connection:
            target = event_log.head(connection).offset
        start = self._offset
        while self._offset < target:
            self.step()
            self.save()
            if on_progress:
                on_progress(self._offset - start, target - start)
        self.flush()
        return self._offset

    def flush(self) -> None:
        """Write everything folded to the online store, to segments and to the state.

        After `failed`, it writes nothing: the events since the state's position are folded again.
        """
        if not self.failed:
            self._write_online()
            self._write_segment()
            self._commit()
            while self._rewrite_some():
                pass

    def save(self) -> None:
        """Write a segment or the state when one is due. What is written is not folded again after a restart."""
        waited_s = time.monotonic() - self._segment_at
        due = waited_s >= self._settings.segment_flush_s and self._rows_size > 0 and not self._first_pass
        many = self._fold.changes >= _CHANGES
        if due or many or self._rows_size >= _SEGMENT_BYTES:
            self._write_segment()
        if many and not self._first_pass:
            self._write_online()
        if many or due:
            self._commit()

    def _write_online(self) -> None:
        self._online_at = time.monotonic()
        self._check()
        if self._offset < self._online_mark.value.started or not self._to_write:
            return
        if self._first_pass:
            self._write_segment()
            self._commit()
        self._online_mark.start(self._offset, self._visible_at)
        if self._first_pass:
            Sweep(self._state, self._online, self.features).finish()
            self._first_pass = False
        self._online.write(self._waiting)
        self._online_mark.finish(self._offset, self._visible_at)
        self._waiting = {view: {} for view in self._waiting}

    def _check(self) -> None:
        """Check now and then that the log and the online store still hold what they held."""
        if time.monotonic() < self._check_at:
            return
        check_log(self._engine, [(self._offset, self._visible_at)])
        if not self._first_pass and self._online_mark.lost():
            self._first_pass = True
            self._waiting = {view: {} for view in self._waiting}
        self._check_at = time.monotonic() + _CHECK_S

    def _rewrite_some(self) -> bool:
        """Give some online rows of an earlier release today's form; returns whether more are left."""
        if self._online_mark.value.form == FORM or self._first_pass or self._offset < self._online_mark.value.started:
            return False
        if self._sweep is None:
            self._write_segment()
            self._commit()
            self._sweep = Sweep(self._state, self._online, self.features, rewriting=True)
        sweep, self._sweep = self._sweep, None
        # A sweep can't repeat a step, so it is kept only if this one succeeds.
        if sweep.step():
            self._sweep = sweep
            return True
        self._online_mark.finish_rewriting()
        return False

    def _write_segment(self) -> None:
        self._segment_at = time.monotonic()
        if self._offset > self._stored:
            # Raises an error if another worker has taken over, because that one writes segments too.
            self._state.position()
            self.segments.write(self._rows, self._offset, self._visible_at)
            self._rows, self._rows_size, self._stored = empty_batch(self.features), 0, self._offset

    def _commit(self) -> None:
        """Store the state, unless it is ahead of the segments or of the online rows: it has to be the oldest."""
        if self._offset <= self._stored and not any(self._waiting.values()) and self._fold.changes:
            self._fold.commit(self._offset)
