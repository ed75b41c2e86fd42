"""Compares a window's summary with a baseline's, column by column."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.text.description import DIRECTIONS, LENGTH, VOCABULARY
from monitoring.drift import design
from monitoring.drift.statistics import (
    CATEGORIES,
    NUMBERS,
    SHARE,
    Distances,
    Shares,
    category_distance,
    norms,
    numbers,
)
from monitoring.summaries.sketch import EMPTY, Sketch, aligned, middles
from monitoring.summaries.summary import TIER, Summary

Doubles = npt.NDArray[np.float64]

FLAGGED = "flagged"
MISSING = " is missing"
# A column whose most common value has at least this share of the rows is compared by the share of other values.
RARE = 0.95
# Values below which a column of a window isn't compared.
_FEWEST = 10
_NOT_FLAGGED = "none"
# Content is described of a sample of the subjects, so that nothing is known of the values that are missing.
_SAMPLED = frozenset((LENGTH, *DIRECTIONS))


class Figures(NamedTuple):
    """One side of a column: mean, median and 95th percentile of its values (NaN without any), and the share missing.

    Of a share or a category, `mean` is the share (of rows that differ from the most common value) and the others are
    NaN.
    """

    mean: float
    median: float
    p95: float
    missing: float


class Baseline(NamedTuple):
    """What a window is compared with.

    Args:
        parts: summaries that add up to it, each with its weight.
        replicates: comparable windows, whose variation says how many independent rows a window has.
        of_windows: whether the parts are such windows themselves, whose rows depend on each other as the window's do.
    """

    parts: Sequence[Summary]
    weights: Doubles
    replicates: Sequence[Summary]
    of_windows: bool

    @property
    def rows(self) -> float:
        """Its effective number of rows: weights cost some."""
        return effective_rows(np.array([part.rows for part in self.parts], np.float64), self.weights)


def effective_rows(rows: Doubles, weights: Doubles) -> float:
    """Kish's effective number of rows of parts with weights."""
    total = float((weights**2 * rows).sum())
    return float((weights * rows).sum()) ** 2 / total if total > 0 else 0.0


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


class _Share(NamedTuple):
    name: str
    share: float
    rows: float
    of: float
    of_rows: float
    dispersion: tuple[float, float]
    figures: tuple[Figures, Figures]


class _Number(NamedTuple):
    name: str
    middles: Doubles
    of: Doubles
    counts: Doubles
    rows: float
    of_rows: float
    norm: float
    dispersion: tuple[float, float]
    figures: tuple[Figures, Figures]


class _Category(NamedTuple):
    name: str
    of: Doubles
    counts: Doubles
    rows: float
    of_rows: float
    dispersion: tuple[float, float]
    figures: tuple[Figures, Figures]


def compare(window: Summary, baseline: Baseline, *, categories: Collection[str] = ()) -> Compared:
    """Compare all columns that both sides have, and the share of rows that are flagged.

    Args:
        categories: names of categories to compare as well.
    """
    shares, columns = [*_flagged(window, baseline)], []
    for name, sketch in window.columns.items():
        parts = [part.columns.get(name, EMPTY) for part in baseline.parts]
        if not any(part.rows for part in parts):
            continue
        replicates = [one.columns.get(name, EMPTY) for one in baseline.replicates]
        if name not in _SAMPLED:
            shares += _missing(name, sketch, parts, baseline.weights, replicates)
        if sketch.n >= _FEWEST and any(part.n for part in parts):
            one = _column(name, sketch, parts, baseline.weights, replicates)
            if isinstance(one, _Share):
                shares.append(one)
            elif one is not None:
                columns.append(one)
    chosen = [one for name in categories if (one := _category(name, window, baseline)) is not None]
    return _judged(shares, columns, chosen, of_windows=baseline.of_windows)


def _judged(
    shares: Sequence[_Share], columns: Sequence[_Number], categories: Sequence[_Category], *, of_windows: bool
) -> Compared:
    everything: list[_Share | _Number | _Category] = [*shares, *columns, *categories]
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
    for i, category in enumerate(categories, second):
        found.append(category_distance(category.of, category.counts, float(of_rows[i]), float(rows[i])))
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


def _column(
    name: str, sketch: Sketch, parts: Sequence[Sketch], weights: Doubles, replicates: Sequence[Sketch]
) -> _Number | _Share | None:
    keys, counted = aligned(*parts, sketch, *replicates)
    counts = counted.astype(np.float64)
    k = len(parts)
    if len(keys) < 2:
        # The same constant on both sides.
        return None
    of, own, others = weights @ counts[:k], counts[k], counts[k + 1 :]
    of_rows = effective_rows(counts[:k].sum(axis=1), weights)
    common = int(np.argmax(of))
    total = of.sum()
    means = _figures(keys, of, parts, weights), _figures(keys, own, [sketch], np.ones(1))
    if of[common] >= RARE * total:
        common_or_not = np.column_stack([others[:, common], others.sum(axis=1) - others[:, common]])
        share, of_share = 1 - own[common] / own.sum(), 1 - of[common] / total
        if share == of_share:
            return None
        return _Share(
            name, float(share), float(own.sum()), float(of_share), of_rows, design.dispersion(common_or_not), means
        )
    deviation, pooled = _deviation(parts, weights), _deviation([*parts, sketch], np.append(weights, total / own.sum()))
    norm = float(norms(np.array(deviation), np.array(pooled)))
    spread = design.dispersion(design.grouped(others)) if len(others) else (0.0, 0.0)
    return _Number(name, middles(keys), of, own, float(own.sum()), of_rows, norm, spread, means)


def _deviation(sketches: Sequence[Sketch], weights: Doubles) -> float:
    """The standard deviation of weighted sketches, from their exact sums."""
    n = float(weights @ [one.n for one in sketches])
    mean = float(weights @ [one.total for one in sketches]) / n
    return float(np.sqrt(max(float(weights @ [one.squares for one in sketches]) / n - mean**2, 0.0)))


def _figures(keys: npt.NDArray[np.int16], counts: Doubles, sketches: Sequence[Sketch], weights: Doubles) -> Figures:
    n = float(weights @ [one.n for one in sketches])
    missing = float(weights @ [one.missing for one in sketches])
    mean = float(weights @ [one.total for one in sketches]) / n
    places = np.searchsorted(np.cumsum(counts), np.array([0.5, 0.95]) * n * (1 - 1e-12))
    median, p95 = middles(keys[np.minimum(places, len(keys) - 1)])
    return Figures(mean, float(median), float(p95), missing / (n + missing))


def _missing(
    name: str, sketch: Sketch, parts: Sequence[Sketch], weights: Doubles, replicates: Sequence[Sketch]
) -> list[_Share]:
    rows = np.array([part.rows for part in parts], np.float64)
    missing = np.array([part.missing for part in parts], np.float64)
    of = float(weights @ missing) / float(weights @ rows)
    share = sketch.missing / sketch.rows
    if share == of:
        return []
    others = np.array([(one.missing, one.n) for one in replicates], np.float64).reshape(-1, 2)
    figures = _of_share(of), _of_share(share)
    spread = design.dispersion(others)
    return [_Share(name + MISSING, share, sketch.rows, of, effective_rows(rows, weights), spread, figures)]


def _of_share(share: float) -> Figures:
    return Figures(share, float("nan"), float("nan"), 0.0)


def _flagged(window: Summary, baseline: Baseline) -> list[_Share]:
    of = np.array([_of_tiers(part) for part in baseline.parts], np.float64).reshape(-1, 2)
    flagged, rows = _of_tiers(window)
    if not rows or not of[:, 1].sum():
        return []
    of_share = float(baseline.weights @ of[:, 0]) / float(baseline.weights @ of[:, 1])
    others = np.array([_of_tiers(one) for one in baseline.replicates], np.float64).reshape(-1, 2)
    others[:, 1] -= others[:, 0]
    share = flagged / rows
    return [
        _Share(
            FLAGGED,
            share,
            rows,
            of_share,
            effective_rows(of[:, 1], baseline.weights),
            design.dispersion(others),
            (_of_share(of_share), _of_share(share)),
        )
    ]


def _of_tiers(summary: Summary) -> tuple[int, int]:
    """The number of rows that are flagged, and of all."""
    tiers: Mapping[str, int] = summary.categories.get(TIER, {})
    rows = sum(tiers.values())
    return rows - tiers.get(_NOT_FLAGGED, 0), rows


def _category(name: str, window: Summary, baseline: Baseline) -> _Category | None:
    own = window.categories.get(name, {})
    parts = [part.categories.get(name, {}) for part in baseline.parts]
    values = sorted({*own, *(value for part in parts for value in part)})
    if len(values) < 2 or sum(own.values()) < _FEWEST or not any(parts):
        return None
    counts = _counted(parts, values)
    of, counted = baseline.weights @ counts, _counted([own], values)[0]
    others = _counted([one.categories.get(name, {}) for one in baseline.replicates], values)
    top = int(np.argmax(of))
    figures = tuple(_of_share(float(1 - side[top] / side.sum())) for side in (of, counted))
    return _Category(
        name,
        of,
        counted,
        float(counted.sum()),
        effective_rows(counts.sum(axis=1), baseline.weights),
        design.dispersion(others),
        (figures[0], figures[1]),
    )


def _counted(found: Sequence[Mapping[str, int]], values: Sequence[str]) -> Doubles:
    return np.array([[one.get(value, 0) for value in values] for one in found], np.float64).reshape(-1, len(values))
