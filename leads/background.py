"""Periodic work in a background thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from leads.errors import LeadsError

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
