"""Splits rows into training set, held-out rows and folds. Equal texts are always on the same side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.text.ngrams import mix

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Groups = npt.NDArray[np.uint64]

TEST_SHARE = 0.2
FOLDS = 5


def draw(groups: Groups, seed: int) -> Groups:
    """(n,) 64 random bits per group, equal wherever the group occurs."""
    return mix(mix(groups) + np.uint64(seed))


def held_out(
    sources: Sequence[str],
    orders: Sequence[int | None],
    groups: Groups,
    labels: Bools,
    *,
    least: int,
    seed: int,
) -> Bools:
    """(n,) True for held-out rows: the latest fifth of each source, or a random fifth if the source has no times.

    Rows of the time at which the fifth begins are drawn at random. If a text occurs on both sides, all of its rows go
    to the training set. A group drawn at random keeps its side when rows are added, so no version is measured on rows
    that an earlier one was trained on. `at_least` then adds what a small data set lacks.

    Args:
        sources: (n,) names of sources.
        orders: (n,) ranks in time; None where unknown.
        groups: (n,) equal for equal texts.
        labels: (n,) True for violating rows.
        least: the number of rows of each label to hold out, as far as there are enough different texts.
    """
    late = np.zeros(len(groups), dtype=np.bool_)
    lateness = np.zeros(len(groups), dtype=np.float64)
    source_of, drawn = np.array(sources), draw(groups, seed) / 2.0**64
    for source in sorted(set(sources)):
        rows = np.flatnonzero(source_of == source)
        times = [orders[i] for i in rows.tolist()]
        if None in times:
            late[rows], lateness[rows] = drawn[rows] >= 1 - TEST_SHARE, drawn[rows]
        else:
            late[rows], lateness[rows] = _latest(np.array(times, dtype=np.int64), drawn[rows])
    _, inverse = np.unique(groups, return_inverse=True)
    early_groups = np.zeros(inverse.max(initial=-1) + 1, dtype=np.bool_)
    early_groups[inverse[~late]] = True
    return at_least(~early_groups[inverse], lateness, groups, labels, least=least)


def _latest(times: Ints, drawn: Doubles) -> tuple[Bools, Doubles]:
    """(n,) True for the latest fifth, and how late each row is, from 0 to 1.

    Of the rows that share the time at which the fifth begins, those with the highest draws belong to it. How many do
    depends on the draw, so that a row's side doesn't depend on the others: where all times are equal, a group keeps
    its side when rows are added, as where there are no times.
    """
    n = len(times)
    begins = np.sort(times)[min(int(np.ceil(n * (1 - TEST_SHARE))), n - 1)]
    after, at = times > begins, times == begins
    share = (n * TEST_SHARE - after.sum()) / at.sum()
    rank = np.argsort(np.lexsort((drawn, times)))
    return after | (at & (drawn >= 1 - share)), rank / n


def at_least(chosen: Bools, preference: Doubles, groups: Groups, labels: Bools, *, least: int) -> Bools:
    """(n,) `chosen`, changed as little as possible so that neither side of a split lacks rows of either label.

    Groups are moved until `least` rows of each label are chosen, and at most half of each. So whether a harm can be
    trained depends on how many labels it has, and not on which of them were drawn. Nothing moves in a large data set.

    Args:
        chosen: (n,) equal within each group.
        preference: (n,) the groups to choose next have the highest; a group has the lowest of its rows.
    """
    names, inverse = np.unique(groups, return_inverse=True)
    members = np.stack([np.bincount(inverse[labels == label], minlength=len(names)) for label in (False, True)])
    taken = np.zeros(len(names), dtype=np.bool_)
    taken[inverse[chosen]] = True
    lowest = np.full(len(names), np.inf)
    np.minimum.at(lowest, inverse, preference)
    order = np.argsort(lowest, kind="stable")
    half, count = members.sum(axis=1) // 2, members[:, taken].sum(axis=1)
    for label in (0, 1):
        for group in order[taken[order] & (members[label][order] > 0)].tolist():
            if count[label] <= half[label]:
                break
            taken[group], count = False, count - members[:, group]
    for label in (0, 1):
        for group in order[~taken[order] & (members[label][order] > 0)][::-1].tolist():
            if count[label] >= least:
                break
            if np.all(count + members[:, group] <= half):
                taken[group], count = True, count + members[:, group]
    return np.asarray(taken[inverse])


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
