"""The prediction log: what each scoring act saw and said, kept for drift, skew and training."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from leads import clock
from leads.errors import Unavailable
from leads.prediction_segments import (
    SCHEMA,
    Prediction,
    Scanned,
    days,
    host,
    read_predictions,
    remove_torn,
    scan_predictions,
    write_segment,
)

__all__ = ["SCHEMA", "Prediction", "PredictionLog", "Scanned", "days", "read_predictions", "scan_predictions"]

logger = logging.getLogger(__name__)

CAPACITY = 50_000
FLUSH_S = 1.0


class PredictionLog:
    """Buffers predictions and writes them each second from a thread of its own, once `start` was called.

    Thread-safe. `append` never waits for the disk: when `capacity` rows wait unwritten, further ones are dropped and
    counted in `dropped`. Rows that could not be written stay and are tried again.

    Args:
        folder: where the segments go.
        owner: what kind of process this is (`api`, `worker`); host, process id, start time and chance are added, so
            that no two writers, and no writer after a restart, ever share a name.
    """

    def __init__(self, folder: Path, *, owner: str, capacity: int = CAPACITY, flush_s: float = FLUSH_S) -> None:
        self._folder = folder
        self._owner = f"{owner}-{host()}-{os.getpid()}-{time.time_ns() // 1_000_000}{secrets.token_hex(2)}"
        self._capacity = capacity
        self._flush_s = flush_s
        self._seq = 0
        self._waiting: list[Prediction] = []
        self._in_flight = 0
        self._closed = False
        self._dropped = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Predictions that were not logged because the buffer was full or the log closed."""
        return self._dropped

    def start(self) -> None:
        """Remove what dead writers left half-written, and begin to write in the background."""
        if self._thread is None:
            remove_torn(self._folder)
            self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
            self._thread.start()

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Take predictions over for writing; drops and counts those for which there is no room."""
        with self._lock:
            room = 0 if self._closed else max(0, self._capacity - len(self._waiting) - self._in_flight)
            self._waiting.extend(predictions[:room])
            self._dropped += max(0, len(predictions) - room)
            if len(self._waiting) * 2 >= self._capacity:
                self._wake.set()

    def flush(self) -> int:
        """Write everything that waits; returns the number of rows written.

        Raises:
            Unavailable: the folder can't be written; the rows are kept.
        """
        with self._writing:
            with self._lock:
                rows, self._waiting = self._waiting, []
                self._in_flight = len(rows)
            left = _by_harm_and_day(rows)
            try:
                for key in list(left):
                    self._write(*key, left[key])
                    del left[key]
            except (OSError, pa.ArrowException) as error:
                raise Unavailable(
                    "The prediction log can't be written.",
                    field=str(self._folder),
                    remedy="Check the folder's free space and rights.",
                ) from error
            finally:
                kept = [row for group in left.values() for row in group]
                with self._lock:
                    self._waiting = kept + self._waiting
                    self._in_flight = 0
            return len(rows)

    def close(self) -> None:
        """Stop the thread and write what waits; later predictions are dropped.

        Raises:
            Unavailable: the folder can't be written.
        """
        with self._lock:
            self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.flush()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            try:
                self.flush()
            except Unavailable:
                logger.warning("prediction log: %d rows wait, the folder can't be written", len(self._waiting))
                time.sleep(self._flush_s)

    def _write(self, harm: str, day: str, rows: list[Prediction]) -> None:
        self._seq += 1
        write_segment(self._folder / f"harm={harm}" / f"day={day}", f"{self._owner}-{self._seq:08d}", rows)


def _by_harm_and_day(rows: list[Prediction]) -> dict[tuple[str, str], list[Prediction]]:
    groups: dict[tuple[str, str], list[Prediction]] = {}
    names: dict[int, str] = {}
    for row in rows:
        day = row.at // clock.DAY
        if day not in names:
            names[day] = clock.to_text(day * clock.DAY)[:10]
        groups.setdefault((row.harm, names[day]), []).append(row)
    return groups
