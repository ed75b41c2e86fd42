"""Python's search for unused cycles: paused or made rare where much is made that has no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Python's default is 700. Scoring 100 subjects makes several thousand objects, nearly all of which end with the
# request and without a search.
_NEW_OBJECTS = 20_000


def search_rarely() -> None:
    """Search less often, and never among the objects that exist now.

    Otherwise, Python searches several times while it scores 100 subjects. Now and then it also searches through all
    modules, and every request that runs waits for that.
    """
    gc.collect()
    gc.freeze()
    _, middle, old = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, middle, old)


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
