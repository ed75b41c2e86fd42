"""What one event changes in the row of one entity."""

from __future__ import annotations

from typing import NamedTuple

from leads.clock import Micros


class Amounts(NamedTuple):
    """The rarer part of an update.

    Args:
        amounts: (counter, amount, time in µs) for other amounts or times than one at the event's time.
        maxima, peaks, latest: (name, value).
        seen_at: when what is `distinct`, `peaks` and `latest` happened, if not at the event's time.
    """

    amounts: tuple[tuple[str, float, Micros], ...] = ()
    maxima: tuple[tuple[str, float], ...] = ()
    peaks: tuple[tuple[str, float], ...] = ()
    latest: tuple[tuple[str, float], ...] = ()
    seen_at: Micros | None = None


class RowUpdate(NamedTuple):
    """What one event changes in the row of one entity.

    Args:
        counters: counters to increase by one at the event's time.
        distinct: (sketch, element) pairs seen at the event's time.
        links: the first of the row's links from now on; None leaves them unchanged.
        linked: (place, key) of single links.
        declared: whether the event is of a kind that platform.yaml declares, in a row that has others too.
    """

    view: str
    key: str
    counters: tuple[str, ...] = ()
    distinct: tuple[tuple[str, str], ...] = ()
    links: tuple[str | None, ...] | None = None
    linked: tuple[tuple[int, str], ...] = ()
    declared: bool = False
    more: Amounts | None = None
