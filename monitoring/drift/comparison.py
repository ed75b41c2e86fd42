"""Compares a window's summary with a baseline's, column by column."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.text.description import DIRECTIONS, LENGTH
from monitoring.drift.columns import (
    FEWEST,
    Baseline,
    Category,
    Figures,
    Number,
    Share,
    category,
    flagged,
    missing,
    number_or_share,
)
from monitoring.drift.statistics import (
    CATEGORIES,
    NUMBERS,
    SHARE,
    Distances,
    Shares,
    category_distance,
    numbers,
)
from monitoring.drift.variation import Varied, between, dispersion
from monitoring.summaries.sketch import EMPTY
from monitoring.summaries.summary import MISSING, Summary

Doubles = npt.NDArray[np.float64]

# Content is described of a sample of the subjects, so that nothing is known of the values that are missing.
_SAMPLED = frozenset((LENGTH, *DIRECTIONS))
# Values of a category from which on its distance is a sum of many parts.
_MANY = 50


@dataclass(frozen=True, eq=False)
class Compared:
    """The columns of a comparison, k in all.

    Args:
        names, methods: of the columns.
        value: (k,) how far they are apart.
        p: (k,) how likely chance causes at least that.
        figures: of the baseline and of the window.
    """

    names: tuple[str, ...]
    methods: tuple[str, ...]
    value: Doubles
    p: Doubles
    figures: tuple[tuple[Figures, Figures], ...]
    _thresholds: tuple[Callable[[float], Doubles], ...] = field(default=())

    def thresholds(self, p: float) -> Doubles:
        """(k,) the distance that chance exceeds with probability `p`."""
        return np.concatenate([of(p) for of in self._thresholds]) if self._thresholds else np.empty(0)


def compare(window: Summary, baseline: Baseline, *, categories: Collection[str] = ()) -> Compared:
    """Compare all columns that both sides have, and the share of rows that are flagged.

    Args:
        categories: names of categories to compare as well.
    """
    shares, columns = [*flagged(window, baseline)], []
    for name, sketch in window.columns.items():
        parts = [part.columns.get(name, EMPTY) for part in baseline.parts]
        if not any(part.rows for part in parts):
            continue
        replicates = [one.columns.get(name, EMPTY) for one in baseline.replicates]
        if name not in _SAMPLED:
            design = baseline.design.get(name + MISSING, 1.0)
            shares += missing(name, sketch, parts, baseline.weights, replicates, design=design)
        if sketch.n >= FEWEST and any(part.n for part in parts):
            design = baseline.design.get(name, 1.0)
            one = number_or_share(name, sketch, parts, baseline.weights, replicates, design=design)
            if isinstance(one, Share):
                shares.append(one)
            elif one is not None:
                columns.append(one)
    chosen = [found for name in categories if (found := category(name, window, baseline)) is not None]
    return _judged(shares, columns, chosen, baseline)


def _judged(
    shares: Sequence[Share], columns: Sequence[Number], categories: Sequence[Category], baseline: Baseline
) -> Compared:
    everything: list[Share | Number | Category] = [*shares, *columns, *categories]
    rows = np.array([one.rows for one in everything], np.float64)
    of_rows = np.array([one.of_rows for one in everything], np.float64)
    found: list[Shares | Distances] = []
    first, second = len(shares), len(shares) + len(columns)
    if shares:
        share, of = (np.array(side, np.float64) for side in zip(*((one.share, one.of) for one in shares), strict=True))
        found.append(Shares(share, rows[:first], of, of_rows[:first]))
    if columns:
        found.append(
            numbers(
                _padded([one.middles for one in columns], last=True),
                _padded([one.of for one in columns]),
                _padded([one.counts for one in columns]),
                of_rows[first:second],
                rows[first:second],
                np.array([one.norm for one in columns]),
            )
        )
    for i, one in enumerate(categories, second):
        found.append(category_distance(one.of, one.counts, float(of_rows[i]), float(rows[i])))
    varied = _varied(everything, found, 1 / rows + 1 / of_rows, len(baseline.parts) if baseline.of_windows else 0)
    methods = (SHARE,) * len(shares) + (NUMBERS,) * len(columns) + (CATEGORIES,) * len(categories)
    return Compared(
        tuple(one.name for one in everything),
        methods,
        np.concatenate([one.value for one in varied]) if varied else np.empty(0),
        np.concatenate([one.p() for one in varied]) if varied else np.empty(0),
        tuple(one.figures for one in everything),
        tuple(one.threshold for one in varied),
    )


def _varied(
    everything: Sequence[Share | Number | Category], found: Sequence[Shares | Distances], size: Doubles, windows: int
) -> list[Varied]:
    """What chance and the variation of windows do to the distances.

    Args:
        size: (k,) 1/rows + 1/baseline rows.
        windows: of how many windows the baseline is the mean; 0: it isn't one of windows.
    """
    if not everything:
        return []
    # The mean square of a distance at the size 1; that of Cohen's h is 1.
    squares = [one.unit if isinstance(one, Distances) else None for one in found]
    unit = np.concatenate([np.ones(len(one.value)) if u is None else u for one, u in zip(found, squares, strict=True)])
    is_share = np.array([isinstance(one, Share) for one in everything])
    unit = np.where(is_share, 1.0, unit / size)
    spread, free = between(
        [
            dispersion(*one.others, float(u), precise=isinstance(one, Category) and len(one.of) >= _MANY)
            for one, u in zip(everything, unit, strict=True)
        ]
    )
    if windows:
        spread = spread * np.sqrt(1 + 1 / windows)
    varied, start = [], 0
    for one in found:
        end = start + len(one.value)
        varied.append(Varied(one, spread[start:end], free[start:end]))
        start = end
    return varied


def _padded(rows: Sequence[Doubles], *, last: bool = False) -> Doubles:
    """The rows as a matrix, filled up with zeros or with the last value of each."""
    found = np.zeros((len(rows), max(map(len, rows))))
    for line, row in zip(found, rows, strict=True):
        line[: len(row)] = row
        if last:
            line[len(row) :] = row[-1]
    return found
