"""The prediction log: what each scoring act saw and said, kept for drift, skew and training."""

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
from leads.predictions.segments import Scanned, days, read_predictions, scan_predictions, unique_name, write_segment

__all__ = ["SCHEMA", "PredictionBatch", "PredictionLog", "Scanned", "days", "read_predictions", "scan_predictions"]

logger = logging.getLogger(__name__)

CAPACITY = 50_000
CAPACITY_BYTES = 64 * 1024 * 1024
FLUSH_S = 1.0
# After so many rows the next segment begins: what a full disk makes us try again is small.
_SEGMENT_ROWS = 10_000
_LONGEST_PAUSE_S = 30.0


class PredictionLog:
    """Buffers predictions and writes them each second from a thread of its own, once `start` was called.

    Thread-safe. `append` never waits for the disk and looks at no row: a batch for which there is no room is dropped
    as a whole, counted, and an alarm in the log says so. Rows that could not be written stay and are tried again, less
    and less often.

    Args:
        folder: where the segments go.
        owner: what kind of process this is (`api`, `worker`); host, process id, start time and chance are added, so
            that no two writers, and no writer after a restart, ever share a name.
        capacity: rows that may wait; `capacity_bytes`: bytes that their vectors may take.
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
        self._unfit: str | None = None
        self._alarm = LossAlarm()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Predictions that are not written yet."""
        return self._rows

    @property
    def dropped(self) -> int:
        """Predictions that were lost: no room, the log closed, or values that fit no column."""
        return self._dropped

    @property
    def failures(self) -> int:
        """Attempts to write that failed; their rows wait."""
        return self._failures

    @property
    def last_error(self) -> str | None:
        """Why the last attempt to write failed; None when it didn't."""
        return self._last_error

    @property
    def torn(self) -> int:
        """Segments that couldn't be read at the start and were set aside."""
        return self._torn

    def start(self) -> None:
        """In the background, put away what dead writers left half-written, then write."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
            self._thread.start()

    def append(self, batch: PredictionBatch) -> None:
        """Take a batch over for writing, or drop and count it. Its lists and arrays must not change any more."""
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
            crowded = self._rows * 2 >= self._capacity or self._bytes * 2 >= self._capacity_bytes
        if crowded:
            self._wake.set()

    def flush(self) -> int:
        """Write everything that waits; returns the number of rows written.

        Raises:
            Unavailable: the folder can't be written; the rows are kept.
        """
        with self._writing:
            with self._lock:
                batches, self._batches = self._batches, []
            groups = list(_by_harm_and_day(batches))
            self._unfit = None
            error: Exception | None = None
            written = 0
            try:
                for group in groups:
                    try:
                        written += self._write(group)
                        group.clear()
                    except Exception as failed:
                        # Whatever it is: the rows stay, the thread goes on, and the alarm tells.
                        error = error or failed
            finally:
                self._put_back(batches, [batch for group in groups for batch in group])
            self._last_error = _reason(error) if error else None
            if error is None:
                return written
            self._failures += 1
            raise Unavailable(
                f"The prediction log can't be written: {self._last_error}.",
                field=str(self._folder),
                remedy="Check the folder's free space and rights.",
            ) from error

    def close(self) -> None:
        """Stop the thread and write what waits; later predictions are dropped.

        Raises:
            Unavailable: the folder can't be written; what waited is lost, and counted as dropped.
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
                f"{lost} predictions are lost, the log can't be written: {self._last_error}.",
                field=str(self._folder),
                remedy="Check the folder's free space and rights before the next start.",
            ) from error
        finally:
            self._look(last=True)

    def _run(self) -> None:
        try:
            self._torn = len(repair(self._folder).torn)
        except OSError as error:
            logger.warning("prediction log: %s could not be looked through: %s", self._folder, _reason(error))
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
            self._look()

    def _look(self, *, last: bool = False) -> None:
        failed = self._last_error is not None
        self._alarm.look(self._dropped, self._rows, failed=failed, why=self._why(), last=last)

    def _why(self) -> str:
        """What is wrong, if something is, and what to do."""
        if self._last_error:
            return f"{self._last_error}; check the free space and the rights of {self._folder}"
        if self._unfit:
            return f"{self._unfit}; what scoring hands to the log is wrong"
        return "more come than can be written; spread the load over more processes, or give the log a faster disk"

    def _write(self, group: list[PredictionBatch]) -> int:
        """One segment of one harm and day; returns the number of rows, less those that fit no column."""
        day = self._folder / f"harm={group[0].harm}" / f"day={clock.to_text(group[0].at)[:10]}"
        table = self._converted(group)
        rows: int = table.num_rows
        if rows:
            self._seq += 1
            write_segment(day, f"{self._owner}-{self._seq:08d}", table)
        return rows

    def _converted(self, group: list[PredictionBatch]) -> pa.Table:
        """The rows of a group, out of which batches are taken that fit no column."""
        try:
            return to_table(group)
        except (ValueError, TypeError, OverflowError):
            # One that never fits may not keep the others from being written.
            tables = [SCHEMA.empty_table()]
            for batch in list(group):
                try:
                    tables.append(to_table([batch]))
                except (ValueError, TypeError, OverflowError) as error:
                    group.remove(batch)
                    self._unfit = f"values of {batch.harm} fit no column ({type(error).__name__})"
                    with self._lock:
                        self._dropped += len(batch)
            return pa.concat_tables(tables)

    def _put_back(self, taken: list[PredictionBatch], kept: list[PredictionBatch]) -> None:
        """Of the batches that were taken for writing some could not be written."""
        rows = sum(map(len, taken)) - sum(map(len, kept))
        size = sum(one.vectors.nbytes for one in taken) - sum(one.vectors.nbytes for one in kept)
        with self._lock:
            self._batches = kept + self._batches
            self._rows -= rows
            self._bytes -= size


def _reason(error: BaseException) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _by_harm_and_day(batches: Iterable[PredictionBatch]) -> Iterable[list[PredictionBatch]]:
    """The batches of each segment."""
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
