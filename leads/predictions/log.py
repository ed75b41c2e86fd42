"""The prediction log: the inputs and results of scoring, stored for drift and skew checks and for training."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from leads import clock
from leads.errors import Unavailable
from leads.predictions.alarm import LossAlarm
from leads.predictions.batch import SCHEMA, PredictionBatch, to_table
from leads.predictions.repair import repair
from leads.predictions.scan import PredictionScan, Scanned, read_predictions, scan_predictions
from leads.predictions.segments import day_of, days, unique_name, write_segment

__all__ = [
    "SCHEMA",
    "PredictionBatch",
    "PredictionLog",
    "PredictionScan",
    "Scanned",
    "days",
    "read_predictions",
    "scan_predictions",
]

logger = logging.getLogger(__name__)

CAPACITY = 50_000
CAPACITY_BYTES = 64 * 1024 * 1024
FLUSH_S = 1.0
# A new segment begins after this many rows, so that little is written again when the disk is full.
_SEGMENT_ROWS = 10_000
_LONGEST_PAUSE_S = 30.0


class PredictionLog:
    """Buffers predictions. After `start`, a background thread writes them every second.

    Thread-safe. `append` never waits for the disk and doesn't inspect rows: if the buffer has no room, the whole batch
    is dropped and counted, and an alarm is logged. Rows that could not be written are kept and retried with increasing
    pauses.

    Args:
        folder: where segments are written.
        owner: the kind of process (`api`, `worker`). Host, process id, start time and a random part are added, so that
            no two writers share a name, not even across restarts.
        capacity: maximum number of buffered rows; `capacity_bytes`: maximum bytes of their vectors.
    """

    def __init__(
        self,
        folder: Path,
        *,
        owner: str,
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
        flush_s: float = FLUSH_S,
    ) -> None:
        self._folder = folder
        self._owner = unique_name(owner)
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._flush_s = flush_s
        self._seq = 0
        self._batches: list[PredictionBatch] = []
        self._rows = self._bytes = 0
        self._dropped = self._failures = self._torn = 0
        self._last_error: str | None = None
        self._misfit: str | None = None
        self._alarm = LossAlarm()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """The number of buffered predictions."""
        return self._rows

    @property
    def dropped(self) -> int:
        """The number of lost predictions: buffer full, log closed, or values that don't fit the schema."""
        return self._dropped

    @property
    def failures(self) -> int:
        """The number of failed writes; their rows are kept."""
        return self._failures

    @property
    def last_error(self) -> str | None:
        """Why the last write failed; None if it succeeded."""
        return self._last_error

    @property
    def torn(self) -> int:
        """The number of unreadable segments that were set aside at the start."""
        return self._torn

    def start(self) -> None:
        """Start the background thread, which first cleans up after dead writers, then writes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
            self._thread.start()

    def append(self, batch: PredictionBatch) -> None:
        """Queue a batch for writing, or drop and count it. Its lists and arrays must not be changed afterwards."""
        rows, size = len(batch), batch.vectors.nbytes
        if not rows:
            return
        with self._lock:
            full = self._rows + rows > self._capacity or self._bytes + size > self._capacity_bytes
            if full or self._ended.is_set():
                self._dropped += rows
                return
            self._batches.append(batch)
            self._rows += rows
            self._bytes += size
            half_full = self._rows * 2 >= self._capacity or self._bytes * 2 >= self._capacity_bytes
        if half_full:
            self._wake.set()

    def flush(self) -> int:
        """Write everything buffered; returns the number of rows written.

        Raises:
            Unavailable: the folder can't be written to; the rows are kept.
        """
        with self._writing:
            with self._lock:
                batches, self._batches = self._batches, []
            groups = list(_by_harm_and_day(batches))
            self._misfit = None
            error: Exception | None = None
            written = 0
            try:
                for group in groups:
                    try:
                        written += self._write(group)
                        group.clear()
                    except Exception as failed:
                        # Whatever the error, keep the rows and the thread; the alarm reports it.
                        error = error or failed
            finally:
                self._put_back(batches, [batch for group in groups for batch in group])
            self._last_error = _reason(error) if error else None
            if error is None:
                return written
            self._failures += 1
            raise Unavailable(
                f"Can't write the prediction log: {self._last_error}.",
                field=str(self._folder),
                remedy="Check the folder's free space and permissions.",
            ) from error

    def close(self) -> None:
        """Stop the thread and write what is buffered. Later predictions are dropped.

        Raises:
            Unavailable: the folder can't be written to; the buffered rows are lost and counted as dropped.
        """
        with self._lock:
            self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        try:
            self.flush()
        except Unavailable as error:
            with self._lock:
                lost, self._rows, self._bytes, self._batches = self._rows, 0, 0, []
                self._dropped += lost
            raise Unavailable(
                f"{lost} predictions are lost because the log can't be written: {self._last_error}.",
                field=str(self._folder),
                remedy="Check the folder's free space and permissions before the next start.",
            ) from error
        finally:
            self._update_alarm(last=True)

    def _run(self) -> None:
        try:
            self._torn = len(repair(self._folder).torn)
        except OSError as error:
            logger.warning("prediction log: could not check %s for damage: %s", self._folder, _reason(error))
        failed = 0
        while not self._ended.is_set():
            if failed:
                self._ended.wait(min(self._flush_s * 2 ** min(failed, 10), _LONGEST_PAUSE_S))
            else:
                self._wake.wait(self._flush_s)
            self._wake.clear()
            try:
                self.flush()
                failed = 0
            except Unavailable:
                failed += 1
            self._update_alarm()

    def _update_alarm(self, *, last: bool = False) -> None:
        failed = self._last_error is not None
        self._alarm.update(self._dropped, self._rows, failed=failed, why=self._why(), last=last)

    def _why(self) -> str:
        """What is wrong, if anything, and what to do."""
        if self._last_error:
            return f"{self._last_error}; check the free space and permissions of {self._folder}"
        if self._misfit:
            return f"{self._misfit}; this is a bug in scoring"
        return "predictions arrive faster than they can be written; use more processes or a faster disk"

    def _write(self, group: list[PredictionBatch]) -> int:
        """Write one segment of one harm and day; returns the number of rows written."""
        day = self._folder / f"harm={group[0].harm}" / f"day={day_of(group[0].at)}"
        table = self._to_table(group)
        rows: int = table.num_rows
        if rows:
            self._seq += 1
            write_segment(day, f"{self._owner}-{self._seq:08d}", table)
        return rows

    def _to_table(self, group: list[PredictionBatch]) -> pa.Table:
        """The group's rows. Batches that don't fit the schema are removed from `group` and counted as dropped."""
        try:
            return to_table(group)
        except (ValueError, TypeError, OverflowError):
            # A batch that never fits must not block the others.
            tables = [SCHEMA.empty_table()]
            for batch in list(group):
                try:
                    tables.append(to_table([batch]))
                except (ValueError, TypeError, OverflowError) as error:
                    group.remove(batch)
                    self._misfit = f"values of {batch.harm} don't fit the schema ({type(error).__name__})"
                    with self._lock:
                        self._dropped += len(batch)
            return pa.concat_tables(tables)

    def _put_back(self, taken: list[PredictionBatch], kept: list[PredictionBatch]) -> None:
        """Return batches that could not be written to the buffer, and subtract the others from its size."""
        rows = sum(map(len, taken)) - sum(map(len, kept))
        size = sum(batch.vectors.nbytes for batch in taken) - sum(batch.vectors.nbytes for batch in kept)
        with self._lock:
            self._batches = kept + self._batches
            self._rows -= rows
            self._bytes -= size


def _reason(error: BaseException) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _by_harm_and_day(batches: Iterable[PredictionBatch]) -> Iterable[list[PredictionBatch]]:
    """Group the batches into segments."""
    groups: dict[tuple[str, int], list[PredictionBatch]] = {}
    sizes: dict[tuple[str, int], int] = {}
    for batch in batches:
        key = (batch.harm, batch.at // clock.DAY)
        groups.setdefault(key, []).append(batch)
        sizes[key] = sizes.get(key, 0) + len(batch)
        if sizes[key] >= _SEGMENT_ROWS:
            yield groups.pop(key)
            del sizes[key]
    yield from groups.values()
