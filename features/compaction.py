"""Compaction in the background of the process that writes the segments."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from features.segments import Segments
from leads.errors import LeadsError

EVERY_S = 30.0
_log = logging.getLogger(__name__)


@contextmanager
def compacting(segments: Segments, *, every_s: float = EVERY_S) -> Iterator[None]:
    """While this is open, merge small segments from a thread of its own."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every_s):
            try:
                while segments.compact() and not ended.is_set():
                    pass
            except (LeadsError, OSError) as error:
                # The segments stay as they are, small and many; the next round tries again.
                _log.warning("segments were not merged: %s", error)

    thread = threading.Thread(target=run, name="compaction", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
