"""What one event changes in the row of one entity."""

from __future__ import annotations

from typing import NamedTuple

from leads.clock import Micros


class RowUpdate(NamedTuple):
    """What one event changes in the row of one entity.

    Args:
        counters: counters to increase by one at the event's time.
        distinct: (sketch, element) pairs seen at the event's time, or at `seen_at`.
        amounts: (counter, amount, time in µs) for other amounts or times.
        maxima: (name, value).
        links: the first of the row's links from now on; None leaves them unchanged.
        peaks, latest: (name, value) at the event's time, or at `seen_at`.
        linked: (place, key) of single links.
        declared: whether the event is of a kind that platform.yaml declares.
    """

    view: str
    key: str
    counters: tuple[str, ...] = ()
    distinct: tuple[tuple[str, str], ...] = ()
    amounts: tuple[tuple[str, float, Micros], ...] = ()
    maxima: tuple[tuple[str, float], ...] = ()
    seen_at: Micros | None = None
    links: tuple[str | None, ...] | None = None
    peaks: tuple[tuple[str, float], ...] = ()
    latest: tuple[tuple[str, float], ...] = ()
    linked: tuple[tuple[int, str], ...] = ()
    declared: bool = False
