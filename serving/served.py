"""Records in the database the time of this process's last prediction, so that no event becomes visible before it."""

from __future__ import annotations

import logging
import threading

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.progress.served import note_served
from leads.errors import Unavailable
from leads.predictions.batch import PredictionBatch
from serving.scoring.interfaces import PredictionSink

# The mark is set this far ahead and moved when half of it is used, so a busy process writes it twice a minute.
AHEAD: Micros = clock.MINUTE
_RETRY_S = 1.0
_CLOSE_S = 2.0
_log = logging.getLogger(__name__)


class ServedMark:
    """Passes predictions on to a sink, and marks their time.

    Thread-safe. `append` never waits for the database: a thread writes the mark. While the database is down, scoring
    goes on and the thread tries again every second.
    """

    def __init__(self, engine: Engine, sink: PredictionSink) -> None:
        self._engine = engine
        self._sink = sink
        self._newest: Micros = 0
        self._marked: Micros = 0
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def append(self, batch: PredictionBatch) -> None:
        """Pass on a batch, and have its time marked."""
        self._sink.append(batch)
        if batch.at > self._newest:
            self._newest = batch.at
        if self._due:
            self._wake.set()

    def start(self) -> None:
        """Start the thread that writes the mark."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="served-mark", daemon=True)
            self._thread.start()

    def write(self) -> None:
        """Write the mark if it is due.

        Raises:
            Unavailable: the database can't be written to.
        """
        if self._due:
            until = self._newest + AHEAD
            with self._engine.begin() as connection:
                note_served(connection, until)
            self._marked = until

    def close(self) -> None:
        """Stop the thread, after a last attempt to write the mark. A locked database doesn't hold up the shutdown."""
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    @property
    def _due(self) -> bool:
        return self._newest > 0 and self._newest > self._marked - AHEAD // 2

    def _run(self) -> None:
        failing = ended = False
        while not ended:
            self._wake.wait()
            self._wake.clear()
            # Before the write: what was appended before `close` is marked.
            ended = self._ended.is_set()
            try:
                self.write()
                failing = False
            except (Unavailable, sa.exc.SQLAlchemyError) as error:
                if not failing:
                    _log.warning("can't record the time of the last prediction, trying again: %s", error)
                failing = True
                self._ended.wait(_RETRY_S)
                self._wake.set()
