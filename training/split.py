"""Which rows are learned from and which only measure. Equal texts never stand on both sides, whatever their source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.ngrams import mix

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Groups = npt.NDArray[np.uint64]

TEST_SHARE = 0.2
FOLDS = 5


def draw(groups: Groups, seed: int) -> Groups:
    """64 random bits for each group, the same wherever it occurs."""
    return mix(mix(groups) + np.uint64(seed))


def held_out(sources: Sequence[str], orders: Sequence[int | None], groups: Groups, *, seed: int) -> Bools:
    """(n,) True for rows that measure: of each source the latest fifth, or a random one where it has no time.

    A group of equal texts that reaches over the border is learned from, all of it. A group drawn at random keeps its
    side when rows are added, so that a version never measures on what an earlier one learned from.
    """
    late = np.zeros(len(groups), dtype=np.bool_)
    source_of = np.array(sources)
    drawn = draw(groups, seed) / 2.0**64 >= 1 - TEST_SHARE
    for source in sorted(set(sources)):
        rows = np.flatnonzero(source_of == source)
        times = [orders[i] for i in rows.tolist()]
        if None in times:
            late[rows] = drawn[rows]
        else:
            rank = np.argsort(np.argsort(np.array(times, dtype=np.int64), kind="stable"), kind="stable")
            late[rows] = rank >= len(rows) * (1 - TEST_SHARE)
    _, inverse = np.unique(groups, return_inverse=True)
    early_groups = np.zeros(inverse.max(initial=-1) + 1, dtype=np.bool_)
    early_groups[inverse[~late]] = True
    return np.asarray(~early_groups[inverse])


def folds(groups: Groups, *, seed: int, count: int = FOLDS) -> Ints:
    """(n,) which of `count` folds each row is in, at random, equal texts in the same."""
    return (draw(groups, seed + 1) % np.uint64(count)).astype(np.int64)
