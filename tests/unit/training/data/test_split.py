from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.data.split import draw, folds, held_out

ROWS = st.lists(
    st.tuples(st.sampled_from(["platform", "corpus:a", "corpus:b"]), st.integers(0, 50), st.integers(0, 30)),
    max_size=80,
)


@given(ROWS)
def test_equal_texts_never_straddle(rows: list[tuple[str, int, int]]) -> None:
    sources = [source for source, _, _ in rows]
    orders = [None if source == "corpus:b" else order for source, order, _ in rows]
    groups = np.array([group for _, _, group in rows], dtype=np.uint64)
    late, inside = held_out(sources, orders, groups, seed=1), folds(groups, seed=1)
    for group in np.unique(groups):
        assert len(np.unique(late[groups == group])) == 1
        assert len(np.unique(inside[groups == group])) == 1


def test_the_latest_fifth_of_each_source_is_held_out() -> None:
    orders = [*range(100), *range(1_000, 900, -1)]
    late = held_out(["platform"] * 100 + ["corpus:a"] * 100, orders, np.arange(200, dtype=np.uint64), seed=1)
    assert np.array_equal(np.flatnonzero(late), [*range(80, 100), *range(100, 120)])


def test_without_time_a_fifth_is_drawn() -> None:
    groups = np.arange(5_000, dtype=np.uint64)
    late = held_out(["corpus:b"] * 5_000, [None] * 5_000, groups, seed=1)
    assert 0.18 < late.mean() < 0.22
    assert not np.array_equal(late, held_out(["corpus:b"] * 5_000, [None] * 5_000, groups, seed=2))


def test_a_drawn_text_keeps_its_side_when_others_come() -> None:
    few = np.arange(500, dtype=np.uint64)
    many = np.concatenate((few, np.arange(9_000, 9_500, dtype=np.uint64)))
    before = held_out(["corpus:b"] * 500, [None] * 500, few, seed=1)
    after = held_out(["corpus:b"] * 1_000, [None] * 1_000, many, seed=1)
    assert np.array_equal(before, after[:500])


def test_a_text_that_recurs_early_is_learned_from() -> None:
    groups = np.arange(10, dtype=np.uint64)
    groups[9] = groups[0]
    late = held_out(["platform"] * 10, list(range(10)), groups, seed=1)
    assert np.flatnonzero(late).tolist() == [8]


def test_folds_are_of_like_size() -> None:
    sizes = np.bincount(folds(np.arange(5_000, dtype=np.uint64), seed=3))
    assert len(sizes) == 5
    assert sizes.min() > 900


def test_draws_depend_on_group_and_seed_alone() -> None:
    groups = np.array([1, 2, 1], dtype=np.uint64)
    one = draw(groups, 5)
    assert one[0] == one[2] != one[1]
    assert not np.array_equal(one, draw(groups, 6))
