"""The distance between two samples of a column, and the distance that chance alone can cause.

The statistic is Evidently's normed Wasserstein distance: how far values must move on average to turn one sample into
the other, in standard deviations of the reference. It suits the inputs better than PSI or Jensen-Shannon distance.
These use equal-width bins, so for counts that are nearly always zero and for heavy tails nearly all values fall into
the first bin: when a count's rate doubles from 3% to 6%, they are only 0.02 and 0.05, this distance 0.16. Yet on 200
rows of an unchanged normal column they reach 0.23 and 0.12. Missing values are left out of the distance; whether a
value is missing is a 0/1 column of its own with the same statistic.

A small window differs from the reference sample by chance, in some columns more than in others. So each column's
threshold is raised to allow for chance: rows are shuffled between the two samples, and the threshold is the mean
distance plus as many standard deviations as it takes for no column to exceed its own in 99% of the shuffles. This
accounts for multiple comparisons (Westfall and Young's single-step maxT, with standardised distances).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

METHOD = "wasserstein"
# Evidently's default threshold for this distance: a tenth of a standard deviation.
THRESHOLD = 0.1
# Evidently divides by at least this, so that the distance from a constant reference is finite.
MIN_NORM = 0.001
FALSE_ALARM_RATE = 0.01
SHUFFLES = 200
# With more rows than this on a side, chance stays far below `THRESHOLD`.
MAX_SHUFFLED_ROWS = 4_000

Values = npt.NDArray[np.float64]


def distance(reference: Values, current: Values) -> float:
    """Evidently's normed Wasserstein distance of two samples without missing values; NaN if one is empty."""
    import pandas as pd
    from evidently.legacy.calculations.stattests import wasserstein_stat_test
    from evidently.legacy.core import ColumnType

    if not len(reference) or not len(current):
        return float("nan")
    statistic, _ = wasserstein_stat_test.func(pd.Series(reference), pd.Series(current), ColumnType.Numerical, THRESHOLD)
    return float(statistic)


def thresholds(reference: Values, current: Values, *, seed: int = 0) -> Values:
    """The distance above which each column has drifted: `THRESHOLD`, or more if chance alone can cause more.

    Args:
        reference: (r, k), NaN where missing.
        current: (c, k), NaN where missing.

    Returns:
        (k,) thresholds.
    """
    random = np.random.default_rng(seed)
    pooled = np.vstack([_sample(reference, random), _sample(current, random)])
    is_current = np.arange(len(pooled)) >= min(len(reference), MAX_SHUFFLED_ROWS)
    shuffled = random.permuted(np.tile(is_current, (SHUFFLES, 1)), axis=1)
    by_chance = np.column_stack([_shuffled_distances(column, shuffled) for column in pooled.T])
    mean, spread = by_chance.mean(axis=0), by_chance.std(axis=0)
    standardised = np.divide(by_chance - mean, spread, out=np.zeros_like(by_chance), where=spread > 0)
    deviations = np.quantile(standardised.max(axis=1), 1 - FALSE_ALARM_RATE)
    raised: Values = np.maximum(THRESHOLD, mean + deviations * spread)
    return raised


def _sample(rows: Values, random: np.random.Generator) -> Values:
    if len(rows) <= MAX_SHUFFLED_ROWS:
        return rows
    return rows[random.choice(len(rows), MAX_SHUFFLED_ROWS, replace=False)]


def _shuffled_distances(column: Values, shuffled: npt.NDArray[np.bool_]) -> Values:
    """The distance of one column for each shuffle: the area between the two empirical distribution functions.

    Args:
        column: (n,) values of both samples, NaN where missing.
        shuffled: (b, n), true where a row counts as current.

    Returns:
        (b,) distances, 0 where a side is empty.
    """
    order = np.argsort(column)[: np.count_nonzero(~np.isnan(column))]
    if not len(order):
        return np.zeros(len(shuffled))
    values = column[order]
    current = shuffled[:, order]
    seen = np.cumsum(current, axis=1, dtype=np.int32)
    total = seen[:, -1].astype(np.float64)
    other = len(values) - total
    both = (total > 0) & (other > 0)
    total, other = np.where(both, total, 1), np.where(both, other, 1)
    places = np.arange(1, len(values) + 1)
    gap = np.abs(seen / total[:, None] - (places - seen) / other[:, None])
    area = gap[:, :-1] @ np.diff(values)
    centred = values - values.mean()
    mean = (centred.sum() - current @ centred) / other
    variance = ((centred**2).sum() - current @ centred**2) / other - mean**2
    norm = np.maximum(np.sqrt(np.maximum(variance, 0)), MIN_NORM)
    return np.where(both, area / norm, 0.0)
