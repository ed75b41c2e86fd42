"""When Python searches for objects that only refer to each other."""

from __future__ import annotations

import gc

# Python's default is 700. Scoring 100 subjects makes several thousand objects, nearly all of which end with the
# request and without a search.
_NEW_OBJECTS = 20_000


def search_rarely() -> None:
    """Search for unused cycles less often, and never among the objects that exist now.

    Otherwise, Python searches several times while it scores 100 subjects. Now and then it also searches through all
    modules, and every request that runs waits for that.
    """
    gc.collect()
    gc.freeze()
    _, middle, old = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, middle, old)
