"""Splits rows into training set, held-out rows and folds. Equal texts are always on the same side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.text.ngrams import mix

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Groups = npt.NDArray[np.uint64]

TEST_SHARE = 0.2
FOLDS = 5


def draw(groups: Groups, seed: int) -> Groups:
    """(n,) 64 random bits per group, equal wherever the group occurs."""
    return mix(mix(groups) + np.uint64(seed))


def held_out(sources: Sequence[str], orders: Sequence[int | None], groups: Groups, *, seed: int) -> Bools:
    """(n,) True for held-out rows: the latest fifth of each source, or a random fifth if the source has no times.

    If a text occurs on both sides, all of its rows go to the training set. A group drawn at random keeps its side when
    rows are added, so no version is measured on rows that an earlier one was trained on.

    Args:
        sources: (n,) names of sources.
        orders: (n,) ranks in time; None where unknown.
        groups: (n,) equal for equal texts.
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


def clusters(groups: Groups, makers: Sequence[int | None]) -> Groups:
    """(n,) equal for rows that must be in the same fold: equal texts, and rows made by one account.

    Texts that many accounts post would join everything into one cluster, so a cluster stops growing before it holds a
    twentieth of a fold.
    """
    _, text = np.unique(groups, return_inverse=True)
    sizes = np.bincount(text).tolist()
    most = max(2, len(groups) // (20 * FOLDS))
    parent = list(range(len(sizes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_of: dict[int, int] = {}
    for group, maker in zip(text.tolist(), makers, strict=True):
        if maker is None:
            continue
        mine, theirs = root(group), root(first_of.setdefault(maker, group))
        if mine != theirs and sizes[mine] + sizes[theirs] <= most:
            parent[mine] = theirs
            sizes[theirs] += sizes[mine]
    roots = np.array([root(group) for group in text.tolist()], dtype=np.int64)
    # A cluster is named by its smallest text hash, so its name doesn't depend on the order of the rows.
    names = np.full(len(sizes), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(names, roots, groups)
    return np.asarray(names[roots])


def folds(groups: Groups, *, seed: int, count: int = FOLDS) -> Ints:
    """(n,) the random fold, 0 to `count` - 1, of each row. Rows of equal groups are in the same fold."""
    return (draw(groups, seed + 1) % np.uint64(count)).astype(np.int64)
