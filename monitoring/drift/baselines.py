"""What a window is compared with: the version's reference sample, and comparable windows before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leads import clock
from leads.clock import Micros
from monitoring.drift.columns import Baseline, effective_rows
from monitoring.summaries.reference import PartOf, Reference, any_time, part_of_day, part_of_week
from monitoring.summaries.summary import Summary, merge
from monitoring.watch.world import Hour, World

_WEEK: Micros = 7 * clock.DAY
_WINDOWS = 4
# The share of a window that must fall into hours of which the reference has rows.
_COVERED = 0.8
# Rows of the reference in a part of the week or day below which they don't stand for it.
_FEWEST = 30


class Replicates(NamedTuple):
    """Windows before a window that are comparable with it, newest first.

    Args:
        windows: their summaries.
        hours: where there are fewer than two of them, the hours of the window itself, which say something about how
            much rows vary, too.
        alike: how they were chosen, in words.
    """

    windows: list[Summary]
    hours: list[Summary]
    alike: str

    @property
    def comparable(self) -> list[Summary]:
        """What the variation of windows is estimated from."""
        return self.windows if len(self.windows) > 1 else self.hours


def before(
    world: World, harm: str, since: Micros, until: Micros, *, slice_: str, hours: Sequence[Hour], min_rows: int
) -> Replicates:
    """The windows before: of the same hours of the week in the last four weeks, else of the last days.

    Args:
        hours: those of the window.
    """
    own = [hour.summary for hour in hours]
    length = until - since
    # Windows that don't overlap.
    days = -(-length // clock.DAY) * clock.DAY
    for alike, step in (("the same hours of the last four weeks", _WEEK), ("the same hours of the days before", days)):
        found = [
            merged
            for k in range(1, _WINDOWS + 1)
            if (merged := _merged(world, harm, since - k * step, until - k * step, slice_)).rows >= min_rows
        ]
        if len(found) > 1 or (found and step != _WEEK):
            return Replicates(found, own, alike)
    merged = _merged(world, harm, since - length, since, slice_)
    if merged.rows >= min_rows:
        return Replicates([merged], own, "the window before")
    return Replicates([], own, "nothing")


def _merged(world: World, harm: str, since: Micros, until: Micros, slice_: str) -> Summary:
    return merge([hour.summary for hour in world.hours(harm, since, until, slice_=slice_)])


def of_windows(replicates: Replicates) -> Baseline:
    """The windows before, as what a window is compared with."""
    windows = replicates.windows
    return Baseline(windows, np.ones(len(windows)), replicates.comparable, of_windows=True)


def of_reference(reference: Reference, slice_: str, hours: Sequence[Hour], replicates: Replicates) -> Baseline | None:
    """The reference sample, weighted to the hours of the week, or else of the day, that the window has.

    None if it has no rows of the slice.
    """
    choices: tuple[PartOf, ...] = (any_time,) if reference.at is None else (part_of_week, part_of_day, any_time)
    for part_of in choices:
        parts = reference.parts(slice_, part_of)
        if not parts:
            return None
        wanted: Counter[int] = Counter()
        for hour in hours:
            wanted[int(part_of(np.array([hour.hour]))[0])] += hour.summary.rows
        kept = {one: part for one, part in parts.items() if wanted[one] and (part.rows >= _FEWEST or len(choices) == 1)}
        covered = sum(wanted[one] for one in kept)
        if part_of is not any_time and covered < _COVERED * sum(wanted.values()):
            continue
        summaries = list(kept.values()) or list(parts.values())
        weights = np.array([wanted[one] / kept[one].rows for one in kept] or [1.0] * len(parts), np.float64)
        rows = np.array([one.rows for one in summaries], np.float64)
        # Weights cost rows. Where they would cost most of them, the bias of all hours is the smaller evil.
        if part_of is any_time or effective_rows(rows, weights) >= min(sum(p.rows for p in parts.values()) / 10, 500):
            return Baseline(summaries, weights * rows.sum() / (weights @ rows), replicates.comparable, of_windows=False)
    return None
