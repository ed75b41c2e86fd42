"""Python's search for unused cycles, paused while much is made that has no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Pause the search. A batch of events makes many objects: searching through all of them takes a third of the time.

    The search works on the whole process, so use this only where few threads work, as in a worker.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
