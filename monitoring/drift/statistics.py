"""How far two samples are apart, and how far chance alone would put them.

Three statistics, none of which a rare value can blow up:

- Numbers: Evidently's normed Wasserstein distance, from the buckets of sketches: how far values must move on average to
  turn one sample into the other, in standard deviations of the baseline.
- Shares (a value is missing; a column that nearly always has the same value has another): Cohen's h.
- Categories: the total variation distance, the share of rows that would have to change their category.

What chance does follows from the pooled distribution, so nothing is drawn at random. For numbers and categories, the
differences of cumulative or relative frequencies are normal in large samples, which gives the mean and the variance of
the distance in closed form: for X, Y normal with correlation r, E|X||Y| = 2/π (r asin r + √(1 - r²)) times their
deviations. Its tail is that of a gamma distribution with these moments, shifted where a heavy tail of the values makes
it more skewed. For shares, it is the negative binomial tail. What windows vary beyond chance: see `variation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leads.estimates.intervals import cohens_h

Doubles = npt.NDArray[np.float64]

NUMBERS, SHARE, CATEGORIES = "normed Wasserstein distance", "Cohen's h", "total variation distance"
# Smaller distances don't matter, whatever the number of rows: a tenth of a deviation, or of the rows.
MINIMUM = 0.1
# Evidently divides by at least this. Beyond it, a baseline that hardly varies must not make every change infinite.
_LEAST_NORM, _LEAST_OF_POOLED = 0.001, 0.25
_EDGES = 32
_FROM_HALF_NORMAL = 2 / np.pi
# How often an interval is halved.
_STEPS = 30


@dataclass(frozen=True, eq=False)
class Distances:
    """k distances and what chance does to them.

    Args:
        value: (k,) the distances.
        mean, deviation, skewness: (k,) of the distance by chance.
        farthest: the largest distance that there can be.
    """

    value: Doubles
    mean: Doubles
    deviation: Doubles
    skewness: Doubles
    farthest: float = np.inf

    @property
    def reach(self) -> Doubles:
        """(k,) the largest distances that there can be."""
        return np.full(self.value.shape, self.farthest)

    def beyond(self, distance: Doubles) -> Doubles:
        """(k,) how likely chance causes at least this distance."""
        from scipy.special import gammaincc

        shape, scale, start = self._gamma()
        found: Doubles = gammaincc(shape, np.maximum(distance - start, 0.0) / scale)
        return np.where(self.deviation > 0, found, np.where(distance > self.mean, 0.0, 1.0))

    @property
    def unit(self) -> Doubles:
        """(k,) mean square of the distance by chance."""
        return self.mean**2 + self.deviation**2

    def threshold(self, p: Doubles) -> Doubles:
        """(k,) the distance that chance exceeds with probability `p`."""
        from scipy.special import gammainccinv

        shape, scale, start = self._gamma()
        found: Doubles = start + scale * gammainccinv(shape, p)
        return np.where(self.deviation > 0, found, self.mean)

    def _gamma(self) -> tuple[Doubles, Doubles, Doubles]:
        deviation = np.maximum(self.deviation, 1e-300)
        skewness = np.maximum(self.skewness, 2 * deviation / np.maximum(self.mean, 1e-12))
        shape = 4 / skewness**2
        scale = deviation * skewness / 2
        return shape, scale, self.mean - shape * scale


@dataclass(frozen=True, eq=False)
class Shares:
    """k differences of two shares.

    Args:
        share, rows: (k,) the share in the window, and its effective number of rows.
        of, of_rows: (k,) those of the baseline.
    """

    share: Doubles
    rows: Doubles
    of: Doubles
    of_rows: Doubles

    @property
    def value(self) -> Doubles:
        """(k,) Cohen's h."""
        return cohens_h(self.share, self.of)

    @property
    def reach(self) -> Doubles:
        """(k,) the largest h on the side on which the window is: all of its rows differ, or none does."""
        above, _, of = self._rarer()
        return cohens_h(np.where(above, 1.0, 0.0), of)

    def beyond(self, distance: Doubles) -> Doubles:
        """(k,) how likely chance causes at least this h, on either side."""
        above, _, of = self._rarer()
        angle = 2 * np.arcsin(np.sqrt(np.clip(of, 0.0, 1.0))) + np.where(above, distance, -distance)
        share = np.sin(np.clip(angle, 0.0, np.pi) / 2) ** 2
        return self._tail(share * self.rows, of * self.of_rows, above=above)

    def threshold(self, p: Doubles) -> Doubles:
        """(k,) the h that chance exceeds with probability `p`, on the side on which the window is."""
        above, _, of = self._rarer()
        events = of * self.of_rows
        # On this side of the baseline's share, the tail falls with the distance from it.
        near = of * self.rows
        far = np.where(above, self.rows, 0.0)
        reached = self._tail(far, events, above=above) <= p
        for _ in range(_STEPS):
            middle = (near + far) / 2
            beyond = self._tail(middle, events, above=above) <= p
            far = np.where(beyond, middle, far)
            near = np.where(beyond, near, middle)
        return np.where(reached, cohens_h(far / self.rows, of), self.reach)

    def _rarer(self) -> tuple[npt.NDArray[np.bool_], Doubles, Doubles]:
        """Whether the window has more, and both shares, of the event or of its absence: of what is rarer."""
        pooled = (self.share * self.rows + self.of * self.of_rows) / (self.rows + self.of_rows)
        absence = pooled > 0.5
        share = np.where(absence, 1 - self.share, self.share)
        of = np.where(absence, 1 - self.of, self.of)
        return share > of, share, of

    def _tail(self, events: Doubles, of_events: Doubles, *, above: npt.NDArray[np.bool_]) -> Doubles:
        """Twice the probability of at least, or at most, this many events, given those of the baseline."""
        from scipy.special import betainc, betaincc

        q = self.rows / (self.rows + self.of_rows)
        at_least = betainc(np.maximum(events, 1e-9), of_events + 1, q)
        at_most = betaincc(events + 1, np.maximum(of_events, 1e-9), q)
        found: Doubles = np.minimum(1.0, 2 * np.where(above, at_least, at_most))
        return found


def numbers(
    middles: Doubles, of: Doubles, counts: Doubles, of_rows: Doubles, rows: Doubles, norm: Doubles
) -> Distances:
    """The normed Wasserstein distances of k columns.

    Args:
        middles: (k, b) the values of the buckets, ascending; shorter columns repeat their last.
        of, counts: (k, b) how many values of the baseline, and of the window, are in each.
        of_rows, rows: (k,) their effective numbers of rows.
        norm: (k,) what distances are divided by, see `norms`.
    """
    p, q = _shares(of), _shares(counts)
    widths = np.diff(middles, axis=1, append=middles[:, -1:])
    value = (np.abs(np.cumsum(p - q, axis=1)) * widths).sum(axis=1) / norm
    pooled = (p * of_rows[:, None] + q * rows[:, None]) / (of_rows + rows)[:, None]
    below = np.clip(np.cumsum(pooled, axis=1), 0.0, 1.0)
    spread = np.sqrt(below * (1 - below)) * widths / norm[:, None]
    mean, variance = _moments(*_coarse(below, spread))
    size = np.sqrt(1 / rows + 1 / of_rows)
    third = _skewness(middles, pooled) * (1 / rows**2 + 1 / of_rows**2) / size**3
    return Distances(value, mean * size, np.sqrt(variance) * size, third)


def norms(deviation: Doubles, pooled: Doubles) -> Doubles:
    """What distances are divided by: the baseline's standard deviation, not below a quarter of the pooled one."""
    return np.maximum(np.maximum(deviation, _LEAST_NORM), _LEAST_OF_POOLED * pooled)


def category_distance(of: Doubles, counts: Doubles, of_rows: float, rows: float) -> Distances:
    """The total variation distance of one column.

    Args:
        of, counts: (b,) how many rows of the baseline, and of the window, have each value.
        of_rows, rows: their effective numbers of rows.
    """
    p, q = _shares(of[None])[0], _shares(counts[None])[0]
    pooled = (p * of_rows + q * rows) / (of_rows + rows)
    kept = pooled[pooled > 0]
    spread = np.sqrt(kept * (1 - kept))
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.sqrt(kept / (1 - kept))
    correlation = np.where(np.isfinite(odds), -np.outer(odds, odds), 0.0)
    np.fill_diagonal(correlation, 1.0)
    size = float(np.sqrt(1 / rows + 1 / of_rows)) / 2
    mean, variance = _of_absolutes(spread[None], np.clip(correlation, -1.0, 1.0)[None])
    return Distances(
        np.abs(p - q).sum(keepdims=True) / 2, mean * size, np.sqrt(variance) * size, np.zeros(1), farthest=1.0
    )


def wasserstein(middles: Doubles, counts: Doubles, of: Doubles, norm: float) -> Doubles:
    """(r,) normed Wasserstein distances of r samples with (r, b) counts from one with (b,) counts."""
    gaps = np.cumsum(_shares(counts) - _shares(of[None]), axis=1)[:, :-1]
    found: Doubles = np.abs(gaps) @ np.diff(middles) / norm
    return found


def variation(counts: Doubles, of: Doubles) -> Doubles:
    """(r,) total variation distances of r samples with (r, b) counts from one with (b,) counts."""
    found: Doubles = np.abs(_shares(counts) - _shares(of[None])).sum(axis=1) / 2
    return found


def _shares(counts: Doubles) -> Doubles:
    found: Doubles = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)
    return found


def _coarse(below: Doubles, spread: Doubles) -> tuple[Doubles, Doubles]:
    """Buckets' edges joined to at most `_EDGES`, which keeps the sum of the spreads: (k, e) both."""
    total = spread.sum(axis=1, keepdims=True)
    share = np.cumsum(spread, axis=1) / np.maximum(total, 1e-300)
    place = np.minimum((share * _EDGES).astype(np.int64), _EDGES - 1) + _EDGES * np.arange(len(spread))[:, None]
    size = _EDGES * len(spread)
    joined = np.asarray(np.bincount(place.ravel(), spread.ravel(), size), np.float64).reshape(-1, _EDGES)
    weighted = np.asarray(np.bincount(place.ravel(), (spread * below).ravel(), size), np.float64)
    return weighted.reshape(-1, _EDGES) / np.maximum(joined, 1e-300), joined


def _moments(below: Doubles, spread: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and variance of Σ spread · |bridge| for Brownian bridges at the (k, e) points `below`."""
    odds = np.sqrt(np.clip(below, 1e-12, 1 - 1e-12) / (1 - np.clip(below, 1e-12, 1 - 1e-12)))
    ratio = odds[:, :, None] / odds[:, None, :]
    return _of_absolutes(spread, np.minimum(ratio, 1 / ratio))


def _of_absolutes(spread: Doubles, correlation: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and variance of Σ|X| for k vectors of normal X with deviations (k, e) and correlations (k, e, e)."""
    r = correlation
    covariance = _FROM_HALF_NORMAL * (r * np.arcsin(r) + np.sqrt(np.maximum(1 - r**2, 0.0)) - 1)
    mean = np.sqrt(_FROM_HALF_NORMAL) * spread.sum(axis=1)
    variance = np.einsum("ki,kij,kj->k", spread, covariance, spread)
    return mean, np.maximum(variance, 0.0)


def _skewness(values: Doubles, shares: Doubles) -> Doubles:
    """(k,) the absolute skewness of values with these shares."""
    mean = (values * shares).sum(axis=1, keepdims=True)
    off = values - mean
    variance = (off**2 * shares).sum(axis=1)
    third = (off**3 * shares).sum(axis=1)
    found: Doubles = np.abs(third) / np.maximum(variance, 1e-300) ** 1.5
    return np.where(variance > 0, found, 0.0)
