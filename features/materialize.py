"""Event log → fold → segments and online rows. The worker runs this on the tail of the log; a replay, over history.

Three things are written, each with its own offset: rows to the online store, then segments, then the fold's state. If
killed at any point, it resumes from the state, which is the oldest, and folds the events after it again: rows up to the
manifest's offset are in the segments already. A mark records how far an online write was started and how far it
certainly got. Rows after the second offset are written again, and nothing is written before the fold has reached the
first, so readers never see a row go back in time.

The first pass over a log is different: as long as nothing is online, rows only go to segments and to the state. Once it
has caught up, a sweep writes the state's rows online.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from sqlalchemy.engine import Engine

from features.fold.fold import Fold, empty_batch
from features.layout import LAYOUTS
from features.offline.segments import Segments
from features.online.mark import FORM, mark_path, read_mark
from features.online.sweep import Sweep
from features.online.writer import Newest, OnlineWriter, collect
from features.partition import WHOLE, Partition
from features.state.fence import new_owner
from features.state_stores import clear_states, open_state
from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.events import LoggedEvent
from leads.files import write_json
from leads.processes import search_paused
from leads.settings import Settings

_SEGMENT_BYTES = 64 * 1024 * 1024
# A commit of the state writes each value once, however often it has changed: the fewer, the cheaper.
_CHANGES = 150_000

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
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        read: int = 5_000,
        partition: Partition = WHOLE,
    ) -> None:
        self._read = read
        self._settings = settings
        self._engine = engine
        self.partition = partition
        self.segments = Segments(settings.features_dir / "segments", partition)
        self._online = OnlineWriter(settings)
        self._mark_path = mark_path(settings, partition)
        self._owner = new_owner()
        self.segments.prepare()
        self._state = open_state(settings, partition, owner=self._owner)
        try:
            self._begin()
        except BaseException:
            self._state.close()
            raise

    def restore(self) -> None:
        """Continue from the stored state after `failed`, as a new process would.

        Raises:
            Conflict: another worker has taken over the partition.
            Unavailable: the state store doesn't respond.
        """
        self._state.close()
        self._state = open_state(self._settings, self.partition, owner=self._owner, take_over=False)
        self._begin()

    def _begin(self) -> None:
        self._stored = self.segments.manifest().offset
        self._fold = Fold(self._state, self.partition)
        self._offset = self._state.position()
        self.segments.check_reaches(self._offset)
        self._mark = read_mark(self._mark_path)
        # On the first pass, the state is ahead of the online rows.
        self._first_pass = not self._mark.started or self._mark.done < self._offset
        self._sweep: Sweep | None = None
        self._waiting: Newest = {layout.view: {} for layout in LAYOUTS}
        self._rows, self._rows_size = empty_batch(), 0
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
        """Close the state store."""
        self._state.close()

    @search_paused()
    def step(self, *, by: Micros | None = None) -> Step:
        """Fold new events, and write online rows when a write is due.

        Args:
            by: length in µs of the clock intervals into which a backlog is cut. A step stops at the end of the interval
                in which its first event became visible and, if more events are waiting, writes the rows online at once,
                so that a backlog is replayed as it came in. None: fold the backlog as a whole and write only each
                entity's newest row.
        """
        if by is not None and self._first_pass:
            # What is scored has to be online first, and must not be saved before.
            self._write_online()
            self._first_pass = self._to_write
        new = event_log.read(self._engine, self._offset, limit=self._read)
        full, cut = len(new) == self._read, False
        if self._offset < self._stored:
            # The segments have the rows of these events already.
            new = [logged for logged in new if logged.offset <= self._stored]
        elif by is not None and new:
            end = (new[0].visible_at // by + 1) * by
            cut = new[-1].visible_at >= end
            new = [logged for logged in new if logged.visible_at < end]
        self._apply(new)
        now = time.monotonic()
        if cut or (not full and now - self._online_at >= self._settings.online_flush_s):
            self._write_online()
        if not (cut or full):
            self._rewrite_some()
        return Step(new, online=not self._to_write, behind=full or cut)

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
        self._offset = new[-1].offset
        if self._offset > self._mark.done and not self._first_pass:
            collect(batch, self._waiting, after=self._mark.done)

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
        if self.failed:
            return
        self._write_online()
        self._write_segment()
        self._commit()
        while self._rewrite_some():
            pass

    def save(self) -> None:
        """Write a segment or the state when one is due. What is written is not folded again after a restart."""
        waited = time.monotonic() - self._segment_at >= self._settings.segment_flush_s
        due = waited and self._rows_size > 0 and not self._first_pass
        many = self._fold.changes >= _CHANGES
        if due or many or self._rows_size >= _SEGMENT_BYTES:
            self._write_segment()
        if many and not self._first_pass:
            self._write_online()
        if many or due:
            self._commit()

    def _write_online(self) -> None:
        self._online_at = time.monotonic()
        if self._offset < self._mark.started or not self._to_write:
            return
        if self._first_pass:
            self._write_segment()
            self._commit()
        self._put_mark(started=self._offset)
        if self._first_pass:
            Sweep(self._state, self._online).finish()
            self._first_pass = False
        self._online.write(self._waiting)
        self._put_mark(done=self._offset)
        self._waiting = {view: {} for view in self._waiting}

    def _rewrite_some(self) -> bool:
        """Give some online rows of an earlier release today's form; returns whether more are left."""
        if self._mark.form == FORM or self._first_pass or self._offset < self._mark.started:
            return False
        if self._sweep is None:
            self._write_segment()
            self._commit()
            self._sweep = Sweep(self._state, self._online, rewriting=True)
        try:
            more = self._sweep.step()
        except BaseException:
            # A sweep can't repeat a step.
            self._sweep = None
            raise
        if more:
            return True
        self._put_mark(form=FORM)
        return False

    def _put_mark(self, **changed: int) -> None:
        self._mark = msgspec.structs.replace(self._mark, **changed)
        write_json(self._mark_path, self._mark)

    def _write_segment(self) -> None:
        self._segment_at = time.monotonic()
        if self._offset > self._stored:
            # Raises an error if another worker has taken over, because that one writes segments too.
            self._state.position()
            self.segments.write(self._rows, self._offset)
            self._rows, self._rows_size, self._stored = empty_batch(), 0, self._offset

    def _commit(self) -> None:
        """Store the state, unless it is ahead of the segments or of the online rows: it has to be the oldest."""
        if self._offset <= self._stored and not any(self._waiting.values()) and self._fold.changes:
            self._fold.commit(self._offset)


def delete_rows(settings: Settings) -> None:
    """Delete every feature row, offline and online. They can be derived again from the event log."""
    clear_states(settings)
    OnlineWriter(settings).clear()
    shutil.rmtree(settings.features_dir / "segments", ignore_errors=True)
    for path in settings.features_dir.glob("online-*.json"):
        path.unlink()
