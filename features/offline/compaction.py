"""Compaction in the background of the process that writes the segments."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from features.offline.segments import Segments
from leads.background import repeating

EVERY_S = 30.0


def compacting(segments: Callable[[], Segments], *, every_s: float = EVERY_S) -> AbstractContextManager[None]:
    """While this is open, merge small segments from a thread of its own; after a failure they stay, small and many.

    Args:
        segments: gives those that are written now.
    """
    return repeating(lambda: segments().compact(), every_s=every_s, name="compaction of feature rows")
