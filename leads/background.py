"""Periodic work in a background thread, and patience with the work of other processes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from leads.errors import LeadsError


class Patience:
    """Waits for a process as long as it makes progress, because nobody knows how fast a loaded machine is.

    Args:
        seconds: without progress, after which to give up.
        timer: monotonic seconds.

    >>> at = iter([0.0, 100.0, 200.0, 321.0])
    >>> patience = Patience(120.0, timer=lambda: next(at))
    >>> [patience.lost(progress) for progress in (0, 7, 7)]
    [False, False, True]
    """

    def __init__(self, seconds: float, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._timer = timer
        self._last: object = None
        self._since = timer()

    def lost(self, progress: object) -> bool:
        """Whether `progress` has been the same for too long.

        Args:
            progress: anything that changes whenever the process gets further.
        """
        now = self._timer()
        if progress != self._last:
            self._last, self._since = progress, now
        return now - self._since >= self._seconds


_log = logging.getLogger(__name__)


@contextmanager
def repeating(work: Callable[[], int], *, every_s: float, name: str) -> Iterator[None]:
    """While the context is open, call `work` every `every_s` seconds, and again at once while it returns non-zero.

    Errors are logged, and the work is tried again after the next wait.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every_s):
            try:
                while work() and not ended.is_set():
                    pass
            except (LeadsError, OSError) as error:
                _log.warning("%s failed and will be retried: %s", name, error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
