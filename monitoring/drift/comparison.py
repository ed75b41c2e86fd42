"""Compares a window's summary with a baseline's, column by column."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.text.description import DIRECTIONS, LENGTH, VOCABULARY
from monitoring.drift import design
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
from monitoring.summaries.sketch import EMPTY
from monitoring.summaries.summary import Summary

Doubles = npt.NDArray[np.float64]

# Content is described of a sample of the subjects, so that nothing is known of the values that are missing.
_SAMPLED = frozenset((LENGTH, *DIRECTIONS))


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
            shares += missing(name, sketch, parts, baseline.weights, replicates)
        if sketch.n >= FEWEST and any(part.n for part in parts):
            one = number_or_share(name, sketch, parts, baseline.weights, replicates)
            if isinstance(one, Share):
                shares.append(one)
            elif one is not None:
                columns.append(one)
    chosen = [found for name in categories if (found := category(name, window, baseline)) is not None]
    return _judged(shares, columns, chosen, of_windows=baseline.of_windows)


def _judged(
    shares: Sequence[Share], columns: Sequence[Number], categories: Sequence[Category], *, of_windows: bool
) -> Compared:
    everything: list[Share | Number | Category] = [*shares, *columns, *categories]
    effects = design.effects([one.dispersion for one in everything])
    rows = design.effective(np.array([one.rows for one in everything], np.float64), effects)
    of_rows = np.array([one.of_rows for one in everything], np.float64)
    # The words of a text always depend on each other.
    depends = np.array([of_windows or one.name == VOCABULARY for one in everything], bool)
    of_rows = np.where(depends, design.effective(of_rows, effects), of_rows)
    found: list[Shares | Distances] = []
    first, second = len(shares), len(shares) + len(columns)
    if shares:
        part = slice(0, first)
        found.append(
            Shares(
                np.array([one.share for one in shares]), rows[part], np.array([one.of for one in shares]), of_rows[part]
            )
        )
    if columns:
        part = slice(first, second)
        found.append(
            numbers(
                _padded([one.middles for one in columns], last=True),
                _padded([one.of for one in columns]),
                _padded([one.counts for one in columns]),
                of_rows[part],
                rows[part],
                np.array([one.norm for one in columns]),
            )
        )
    for i, one in enumerate(categories, second):
        found.append(category_distance(one.of, one.counts, float(of_rows[i]), float(rows[i])))
    methods = (SHARE,) * len(shares) + (NUMBERS,) * len(columns) + (CATEGORIES,) * len(categories)
    return Compared(
        tuple(one.name for one in everything),
        methods,
        np.concatenate([one.value for one in found]) if found else np.empty(0),
        np.concatenate([one.p() for one in found]) if found else np.empty(0),
        tuple(one.figures for one in everything),
        tuple(one.threshold for one in found),
    )


def _padded(rows: Sequence[Doubles], *, last: bool = False) -> Doubles:
    """The rows as a matrix, filled up with zeros or with the last value of each."""
    found = np.zeros((len(rows), max(map(len, rows))))
    for line, row in zip(found, rows, strict=True):
        line[: len(row)] = row
        if last:
            line[len(row) :] = row[-1]
    return found
