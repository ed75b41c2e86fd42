"""How much less the rows of a few accounts say than as many rows of accounts of their own.

Rows of one account are alike: an account with 50 rows says about its age what one row says. So a sample in which
accounts repeat varies more than its number of rows tells. How much more is the design effect of each column (Kish,
Survey Sampling, 1965): the variance of its mean if accounts are drawn, over that if rows are. Numbers are taken by
their ranks, so that the effect is one of the whole distribution and no single value decides it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from monitoring.summaries.summary import FLAGGED, MISSING, NOT_FLAGGED, SCORE
from monitoring.summaries.tally import Rows

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def design_effects(rows: Rows, accounts: Sequence[str | None], places: Ints) -> Mapping[str, float]:
    """The design effect of each column, of each `… is missing`, of categories, and of the share that is flagged.

    At least 1; empty if the accounts aren't known. A row without an account counts as one of its own.

    Args:
        accounts: of all rows.
        places: the rows to use.
    """
    if not len(accounts) or not len(places):
        return {}
    groups = _groups([accounts[i] for i in places.tolist()])
    return {name: design_effect(values, groups) for name, values in _columns(rows, places)}


def design_effect(values: Doubles, groups: Ints) -> float:
    """The design effect of the means of columns, all together.

    Args:
        values: (n, k), NaN where missing.
        groups: (n,) the cluster of each row, numbered from 0.

    >>> groups = np.array([0, 0, 0, 1, 2, 2])
    >>> round(design_effect(np.array([[1.0], [1], [1], [5], [3], [3]]), groups), 1)
    2.8
    """
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    means = np.where(known, values, 0.0).sum(axis=0) / np.maximum(counts, 1)
    apart = np.where(known, values - means, 0.0)
    own = float((apart**2).sum())
    clusters = int(groups.max()) + 1
    if own == 0 or len(groups) < 2:
        return 1.0
    if clusters == 1:
        return float(len(groups))
    sums = np.zeros((clusters, values.shape[1]))
    np.add.at(sums, groups, apart)
    return max(1.0, float((sums**2).sum()) / own * clusters / (clusters - 1))


def _groups(accounts: Sequence[str | None]) -> Ints:
    numbers: dict[str | int, int] = {}
    # A row without an account is known by its place.
    return np.array([numbers.setdefault(i if one is None else one, len(numbers)) for i, one in enumerate(accounts)])


def _columns(rows: Rows, places: Ints) -> Iterator[tuple[str, Doubles]]:
    """The columns that vary, with their values as (n, k)."""
    numbers = {SCORE: rows.scores[places]}
    if rows.matrix is not None:
        numbers |= dict(zip(rows.names, rows.matrix[places].T.astype(np.float64), strict=True))
    numbers |= {name: values[places] for name, values in rows.described.numbers.items()}
    for name, values in numbers.items():
        absent = ~np.isfinite(values)
        if absent.any():
            yield name + MISSING, absent.astype(np.float64)[:, None]
        yield name, _ranks(values)[:, None]
    yield FLAGGED, np.array([float(rows.tiers[i] != NOT_FLAGGED) for i in places.tolist()])[:, None]
    for name, held in rows.described.categories.items():
        yield name, _indicators([() if held[i] is None else (str(held[i]),) for i in places.tolist()])
    for name, words in rows.described.words.items():
        yield name, _indicators([tuple(words[i]) for i in places.tolist()])


def _ranks(values: Doubles) -> Doubles:
    """The ranks of the values, equal ones in the middle of theirs; NaN where missing."""
    found = np.full(len(values), np.nan)
    known = np.isfinite(values)
    if known.any():
        _, place, counts = np.unique(values[known], return_inverse=True, return_counts=True)
        found[known] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found


def _indicators(held: Sequence[tuple[str, ...]]) -> Doubles:
    """Which rows hold which value: a column for each value, 1 or 0."""
    numbers: dict[str, int] = {}
    pairs = [(i, numbers.setdefault(value, len(numbers))) for i, values in enumerate(held) for value in values]
    found = np.zeros((len(held), max(len(numbers), 1)))
    if pairs:
        at = np.array(pairs)
        found[at[:, 0], at[:, 1]] = 1.0
    return found
