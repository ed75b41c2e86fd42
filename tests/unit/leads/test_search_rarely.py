"""Python's search for unused cycles in a process that serves."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from leads.processes import search_rarely, search_seldom


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Restores the collector of this process, which begins without objects that are left out of the search."""
    before = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.set_threshold(*before)
    gc.freeze()


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_what_exists_is_not_searched_again() -> None:
    kept = [object() for _ in range(10)]
    search_rarely()
    assert gc.get_freeze_count() > len(kept)
    assert gc.get_threshold()[0] > 10_000


def test_later_cycles_are_still_found() -> None:
    search_rarely()
    gone = weakref.ref(Cycle())
    made = [[] for _ in range(gc.get_threshold()[0] + 1)]  # type: ignore[var-annotated]
    assert gone() is None, len(made)


def test_a_long_replay_is_searched_seldom() -> None:
    before = gc.get_threshold()
    with search_seldom():
        gone = weakref.ref(Cycle())
        made = [[] for _ in range(2 * before[0])]  # type: ignore[var-annotated]
        assert gone() is not None, len(made)
    assert gc.get_threshold() == before
