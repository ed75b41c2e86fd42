"""Work that a process does beside its own, now and then, in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from leads.errors import LeadsError

_log = logging.getLogger(__name__)


@contextmanager
def repeating(work: Callable[[], int], *, every_s: float, name: str) -> Iterator[None]:
    """While this is open, do `work` every so often, and at once again as long as it returns that it did something.

    Work that fails is logged and tried again next time.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every_s):
            try:
                while work() and not ended.is_set():
                    pass
            except (LeadsError, OSError) as error:
                _log.warning("%s failed and is tried again: %s", name, error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
