"""Prepares the columns of a window and a baseline for their statistics: numbers, shares and categories.

`rows` and `of_rows` are numbers of rows of the window and of the baseline. `others` is how far comparable windows are
from all of them together, and their numbers of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads.estimates.intervals import cohens_h
from monitoring.drift.statistics import norms, variation, wasserstein
from monitoring.summaries.sketch import Sketch, aligned, middles
from monitoring.summaries.summary import FLAGGED, MISSING, Summary

Doubles = npt.NDArray[np.float64]

# A column whose most common value has at least this share of the rows is compared by the share of other values.
RARE = 0.95
# Values below which a category of a window isn't compared.
FEWEST = 10


class Figures(NamedTuple):
    """One side of a column: mean, median and 95th percentile of its values (NaN without any), and the share missing.

    Of a share or a category, `mean` is the share (of rows that differ from the most common value) and the others are
    NaN.
    """

    mean: float
    median: float
    p95: float
    missing: float


_NO_DESIGN: Mapping[str, float] = {}


class Baseline(NamedTuple):
    """What a window is compared with.

    Args:
        parts: summaries that add up to it, each with its weight.
        replicates: comparable windows, from which is seen how much windows vary.
        of_windows: whether the parts are such windows themselves, which vary as the window does.
        design: the design effects of its columns: accounts that repeat make it vary as fewer rows would.
    """

    parts: Sequence[Summary]
    weights: Doubles
    replicates: Sequence[Summary]
    of_windows: bool
    design: Mapping[str, float] = _NO_DESIGN

    @property
    def rows(self) -> float:
        """Its effective number of rows: weights cost some."""
        return effective_rows(np.array([part.rows for part in self.parts], np.float64), self.weights)


def effective_rows(rows: Doubles, weights: Doubles) -> float:
    """Kish's effective number of rows of parts with weights."""
    total = float((weights**2 * rows).sum())
    return float((weights * rows).sum()) ** 2 / total if total > 0 else 0.0


class Share(NamedTuple):
    """Two shares: of the window, and of the baseline."""

    name: str
    share: float
    rows: float
    of: float
    of_rows: float
    others: tuple[Doubles, Doubles]
    figures: tuple[Figures, Figures]


class Number(NamedTuple):
    """A numeric column: its buckets, and how many values each side has in them."""

    name: str
    middles: Doubles
    of: Doubles
    counts: Doubles
    rows: float
    of_rows: float
    norm: float
    others: tuple[Doubles, Doubles]
    figures: tuple[Figures, Figures]


class Category(NamedTuple):
    """A category: how many rows each side has of its values."""

    name: str
    of: Doubles
    counts: Doubles
    rows: float
    of_rows: float
    others: tuple[Doubles, Doubles]
    figures: tuple[Figures, Figures]


def number_or_share(
    name: str,
    sketch: Sketch,
    parts: Sequence[Sketch],
    weights: Doubles,
    replicates: Sequence[Sketch],
    *,
    design: float = 1.0,
) -> Number | Share | None:
    """A column, or the share of values that differ from the most common one; None if it can't have drifted.

    Args:
        sketch: of the window.
        parts, weights: of the baseline.
        design: its design effect.
    """
    keys, counted = aligned(*parts, sketch, *replicates)
    counts = counted.astype(np.float64)
    k = len(parts)
    if len(keys) < 2:
        # The same constant on both sides.
        return None
    of, own, others = weights @ counts[:k], counts[k], counts[k + 1 :]
    of_rows = effective_rows(counts[:k].sum(axis=1), weights) / design
    common = int(np.argmax(of))
    total = of.sum()
    means = _figures(keys, of, parts, weights), _figures(keys, own, [sketch], np.ones(1))
    if of[common] >= RARE * total:
        share, of_share = 1 - own[common] / own.sum(), 1 - of[common] / total
        if share == of_share:
            return None
        return Share(
            name,
            float(share),
            float(own.sum()),
            float(of_share),
            of_rows,
            _apart(others.sum(axis=1) - others[:, common], others.sum(axis=1)),
            means,
        )
    deviation, pooled = _deviation(parts, weights), _deviation([*parts, sketch], np.append(weights, total / own.sum()))
    norm = float(norms(np.array(deviation), np.array(pooled)))
    values = middles(keys)
    apart = wasserstein(values, others, others.sum(axis=0), norm), others.sum(axis=1)
    return Number(name, values, of, own, float(own.sum()), of_rows, norm, apart, means)


def _apart(events: Doubles, rows: Doubles) -> tuple[Doubles, Doubles]:
    """How far the shares of windows are from that of all of them together, and their rows."""
    known = rows > 0
    share = events[known] / rows[known]
    return cohens_h(share, np.array(events.sum() / max(float(rows.sum()), 1.0))), rows[known]


def _deviation(sketches: Sequence[Sketch], weights: Doubles) -> float:
    """The standard deviation of weighted sketches, from their exact sums."""
    n = float(weights @ [one.n for one in sketches])
    mean = float(weights @ [one.total for one in sketches]) / n
    return float(np.sqrt(max(float(weights @ [one.squares for one in sketches]) / n - mean**2, 0.0)))


def _figures(keys: npt.NDArray[np.int16], counts: Doubles, sketches: Sequence[Sketch], weights: Doubles) -> Figures:
    n = float(weights @ [one.n for one in sketches])
    absent = float(weights @ [one.missing for one in sketches])
    mean = float(weights @ [one.total for one in sketches]) / n
    places = np.searchsorted(np.cumsum(counts), np.array([0.5, 0.95]) * n * (1 - 1e-12))
    median, p95 = middles(keys[np.minimum(places, len(keys) - 1)])
    return Figures(mean, float(median), float(p95), absent / (n + absent))


def missing(
    name: str,
    sketch: Sketch,
    parts: Sequence[Sketch],
    weights: Doubles,
    replicates: Sequence[Sketch],
    *,
    design: float = 1.0,
) -> list[Share]:
    """The share of rows of a column without a value; nothing if both sides have the same."""
    rows = np.array([part.rows for part in parts], np.float64)
    absent = np.array([part.missing for part in parts], np.float64)
    of = float(weights @ absent) / float(weights @ rows)
    share = sketch.missing / sketch.rows
    if share == of:
        return []
    others = np.array([(one.missing, one.rows) for one in replicates], np.float64).reshape(-1, 2)
    figures = _of_share(of), _of_share(share)
    apart = _apart(others[:, 0], others[:, 1])
    return [Share(name + MISSING, share, sketch.rows, of, effective_rows(rows, weights) / design, apart, figures)]


def _of_share(share: float) -> Figures:
    return Figures(share, float("nan"), float("nan"), 0.0)


def flagged(window: Summary, baseline: Baseline) -> list[Share]:
    """The share of rows that are flagged; nothing if one side has no tiers."""
    of = np.array([part.flagged for part in baseline.parts], np.float64).reshape(-1, 2)
    hits, rows = window.flagged
    if not rows or not of[:, 1].sum():
        return []
    of_share = float(baseline.weights @ of[:, 0]) / float(baseline.weights @ of[:, 1])
    others = np.array([one.flagged for one in baseline.replicates], np.float64).reshape(-1, 2)
    share = hits / rows
    return [
        Share(
            FLAGGED,
            share,
            rows,
            of_share,
            effective_rows(of[:, 1], baseline.weights) / baseline.design.get(FLAGGED, 1.0),
            _apart(others[:, 0], others[:, 1]),
            (_of_share(of_share), _of_share(share)),
        )
    ]


def category(name: str, window: Summary, baseline: Baseline) -> Category | None:
    """A category; None if it has one value, or hardly any rows have one."""
    own = window.categories.get(name, {})
    parts = [part.categories.get(name, {}) for part in baseline.parts]
    values = sorted({*own, *(value for part in parts for value in part)})
    if len(values) < 2 or sum(own.values()) < FEWEST or not any(parts):
        return None
    counts = _counted(parts, values)
    of, counted = baseline.weights @ counts, _counted([own], values)[0]
    others = _counted([one.categories.get(name, {}) for one in baseline.replicates], values)
    top = int(np.argmax(of))
    figures = tuple(_of_share(float(1 - side[top] / side.sum())) for side in (of, counted))
    return Category(
        name,
        of,
        counted,
        float(counted.sum()),
        effective_rows(counts.sum(axis=1), baseline.weights) / baseline.design.get(name, 1.0),
        (variation(others, others.sum(axis=0)), others.sum(axis=1)),
        (figures[0], figures[1]),
    )


def _counted(found: Sequence[Mapping[str, int]], values: Sequence[str]) -> Doubles:
    return np.array([[one.get(value, 0) for value in values] for one in found], np.float64).reshape(-1, len(values))
