from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import split
from training.data.split import at_least, draw, folds


def held_out(
    sources: list[str],
    orders: list[int] | list[None] | list[int | None],
    groups: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    least: int = 0,
    seed: int,
) -> np.ndarray:
    """Half of the rows violate in turn, unless told otherwise."""
    labels = np.arange(len(groups)) % 2 == 0 if labels is None else labels
    return split.held_out(sources, list(orders), groups, labels, least=least, seed=seed)


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


def test_rows_of_one_time_are_drawn_at_random_as_rows_without_time_are() -> None:
    """A file sorted by label, all of one date: its end must not be what is held out."""
    groups, labels = np.arange(1_000, dtype=np.uint64), np.arange(1_000) < 500
    one_date = held_out(["file:a"] * 1_000, [0] * 1_000, groups, labels, seed=1)
    assert np.array_equal(one_date, held_out(["file:a"] * 1_000, [None] * 1_000, groups, labels, seed=1))
    assert 60 < labels[one_date].sum() < 140
    assert 60 < (~labels[one_date]).sum() < 140


def test_only_rows_of_the_time_at_which_the_fifth_begins_are_drawn() -> None:
    """Ten days of a hundred rows, then one of two hundred and fifty: the fifth begins within the last day but one."""
    days = np.repeat(np.arange(10), 100).tolist() + [10] * 150
    late = held_out(["file:a"] * 1_150, days, np.arange(1_150, dtype=np.uint64), seed=1)
    by_day = np.bincount(np.array(days)[late], minlength=11)
    assert by_day[:9].sum() == 0
    assert 60 < by_day[9] < 100
    assert by_day[10] == 150


@pytest.mark.parametrize("order", ["none", "one date", "in time", "sorted by label"])
def test_any_file_of_thirty_and_thirty_has_five_of_each_on_either_side(order: str) -> None:
    for seed in range(200):
        random = np.random.default_rng(seed)
        groups, labels = random.integers(0, 2**63, 60).astype(np.uint64), random.permutation(np.arange(60) < 30)
        orders: list[int | None] = {
            "none": [None] * 60,
            "one date": [0] * 60,
            "in time": list(range(60)),
            "sorted by label": np.argsort(np.argsort(labels)).tolist(),
        }[order]
        late = held_out(["file:a"] * 60, orders, groups, labels, least=5, seed=7)
        for side in (late, ~late):
            assert min(labels[side].sum(), (~labels[side]).sum()) >= 5


@given(ROWS, st.lists(st.booleans(), min_size=80, max_size=80), st.integers(0, 8))
def test_what_is_added_keeps_equal_texts_together_and_at_most_half_of_each_label(
    rows: list[tuple[str, int, int]], violating: list[bool], least: int
) -> None:
    groups = np.array([group for _, _, group in rows], dtype=np.uint64)
    labels = np.array(violating[: len(rows)], dtype=np.bool_)
    late = held_out(
        [source for source, _, _ in rows], [order for _, order, _ in rows], groups, labels, least=least, seed=1
    )
    for group in np.unique(groups):
        assert len(np.unique(late[groups == group])) == 1
    for each in (labels, ~labels):
        assert each[late].sum() <= each.sum() // 2


def test_rows_that_were_trained_on_stay_so_when_others_come() -> None:
    """Also in a small file, for which rows are added to the fifth."""
    random = np.random.default_rng(3)
    groups, labels = random.integers(0, 2**63, 400).astype(np.uint64), np.arange(400) % 4 == 0
    before = held_out(["file:a"] * 64, [None] * 64, groups[:64], labels[:64], least=5, seed=7)
    for n in (80, 120, 400):
        after = held_out(["file:a"] * n, [None] * n, groups[:n], labels[:n], least=5, seed=7)
        assert not (after[:64] & ~before).any()


def test_nothing_is_added_where_there_is_enough() -> None:
    groups, labels = np.arange(1_000, dtype=np.uint64), np.arange(1_000) % 3 == 0
    chosen = folds(groups, seed=1) == 0
    assert np.array_equal(at_least(chosen, draw(groups, 1), groups, labels, least=5), chosen)


def test_folds_are_of_like_size() -> None:
    sizes = np.bincount(folds(np.arange(5_000, dtype=np.uint64), seed=3))
    assert len(sizes) == 5
    assert sizes.min() > 900


def test_draws_depend_on_group_and_seed_alone() -> None:
    groups = np.array([1, 2, 1], dtype=np.uint64)
    one = draw(groups, 5)
    assert one[0] == one[2] != one[1]
    assert not np.array_equal(one, draw(groups, 6))
