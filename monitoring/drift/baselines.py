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
from monitoring.summaries.summary import Summary
from monitoring.watch.world import Hour, World

_WEEK: Micros = 7 * clock.DAY
_WINDOWS = 4
# Fewer windows say less about how windows vary than a window's hours do.
_ENOUGH = 4
# The share of a window that must fall into hours of which the reference has rows.
_COVERED = 0.8
# Rows of the reference in a part of the week or day below which they don't stand for it.
_FEWEST = 30


class Replicates(NamedTuple):
    """Windows before a window that are comparable with it, newest first.

    Args:
        windows: those that it is compared with.
        all: those from which is seen how much windows vary: of the same hours of the day, of the last four weeks.
        hours: the hours of the window itself, which say something about it where there are few windows.
        since: where the earliest of `windows` begins, µs; of the window itself if there are none.
        alike: how `windows` were chosen, in words.
    """

    windows: list[Summary]
    all: list[Summary]
    hours: list[Summary]
    since: Micros
    alike: str

    @property
    def comparable(self) -> list[Summary]:
        """What the variation of windows is estimated from."""
        return self.all if len(self.all) >= _ENOUGH else self.hours


def before(
    world: World, harm: str, since: Micros, until: Micros, *, slice_: str, hours: Sequence[Hour], min_rows: int
) -> Replicates:
    """The windows before: of the same hours of the week in the last four weeks, else of the last days.

    Args:
        hours: those of the window.
    """
    own = [hour.summary for hour in hours]
    length = until - since
    # Windows that don't overlap, as far back as the months of a slice are worth reading.
    step = -(-length // clock.DAY) * clock.DAY
    back = _WINDOWS * _WEEK if not slice_ or step > _WEEK else _WINDOWS * _WEEK // 2
    found: dict[Micros, Summary] = {}
    for shift in sorted({*range(step, back + 1, step), *range(_WEEK, _WINDOWS * _WEEK + 1, _WEEK)}):
        if shift >= length:
            merged = world.window(harm, since - shift, until - shift, slice_=slice_)
            if merged.rows >= min_rows:
                found[shift] = merged
    steps, weeks = ([shift for shift in found if shift % of == 0] for of in (step, _WEEK))
    everything = [found[shift] for shift in steps]
    if len(weeks) > 1:
        alike = "the same hours of the last four weeks"
        return Replicates([found[shift] for shift in weeks], everything, own, since - max(weeks), alike)
    if everything:
        alike = "the same hours of the days before"
        return Replicates(everything[:_WINDOWS], everything, own, since - max(steps[:_WINDOWS]), alike)
    merged = world.window(harm, since - length, since, slice_=slice_)
    if merged.rows >= min_rows:
        return Replicates([merged], [], own, since - length, "the window before")
    return Replicates([], [], own, since, "nothing")


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
            weights = weights * rows.sum() / (weights @ rows)
            return Baseline(
                summaries, weights, replicates.comparable, of_windows=False, design=reference.design(slice_)
            )
    return None
