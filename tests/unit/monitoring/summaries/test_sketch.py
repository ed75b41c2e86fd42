"""Sketches: within 4% of the values, and the sum of two is the sketch of all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitoring.summaries.sketch import EMPTY, SMALLEST, Sketch, aligned, buckets, merged, middles, sketch

Values = npt.NDArray[np.float64]
# As wide as float32 is, with what isn't a number, and small and equal values often.
numbers = st.one_of(
    st.floats(width=32), st.floats(-1, 1), st.sampled_from([0.0, 1.0, -1.0, SMALLEST, 1e-5, np.nan, np.inf])
)
columns = arrays(np.float64, st.integers(0, 40), elements=numbers)
MOST = 1e30


def same(a: Sketch, b: Sketch) -> None:
    assert a.missing == b.missing
    assert a.keys.tolist() == b.keys.tolist()
    assert a.counts.tolist() == b.counts.tolist()
    assert (a.total, a.squares) == pytest.approx((b.total, b.squares), rel=1e-9, abs=1e-9)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e29, 1e29)))
def test_a_bucket_is_within_4_percent_of_its_values(values: Values) -> None:
    found = middles(buckets(values))
    small = np.abs(values) < SMALLEST
    assert np.all(found[small] == 0)
    assert np.all(np.abs(found[~small] - values[~small]) <= 0.04 * np.abs(values[~small]))


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6)), st.floats(0, 1))
def test_quantiles_are_within_4_percent(values: Values, q: float) -> None:
    exact = np.quantile(values, q, method="inverted_cdf")
    assert abs(sketch(values).quantile(q) - exact) <= 0.04 * abs(exact) + SMALLEST


@given(columns)
def test_larger_values_have_higher_buckets(values: Values) -> None:
    known = np.sort(values[np.isfinite(values)])
    assert np.all(np.diff(buckets(known).astype(int)) >= 0)


@given(columns, columns, columns)
def test_the_sum_of_sketches_is_the_sketch_of_all_rows(a: Values, b: Values, c: Values) -> None:
    whole = sketch(np.concatenate([a, b, c]))
    same(merged([sketch(a), sketch(b), sketch(c)]), whole)
    same(merged([sketch(c), merged([sketch(b), sketch(a)]), EMPTY]), whole)
    assert whole.rows == len(a) + len(b) + len(c)


@given(columns)
def test_means_are_exact(values: Values) -> None:
    known = values[np.isfinite(values)]
    found = sketch(values)
    assert found.missing == len(values) - len(known)
    if len(known):
        assert found.mean == pytest.approx(known.mean(), rel=1e-9, abs=1e-9)
    else:
        assert np.isnan([found.mean, found.deviation, found.quantile(0.5)]).all()


@given(columns, columns)
def test_aligned_sketches_have_the_same_counts(a: Values, b: Values) -> None:
    first, second = sketch(a), sketch(b)
    keys, counts = aligned(first, second)
    assert np.all(np.diff(keys.astype(int)) > 0)
    for row, one in zip(counts, (first, second), strict=True):
        assert dict(zip(keys[row > 0].tolist(), row[row > 0].tolist(), strict=True)) == dict(
            zip(one.keys.tolist(), one.counts.tolist(), strict=True)
        )


def test_the_deviation_is_that_of_the_values() -> None:
    values = np.random.default_rng(0).normal(5, 2, 10_000)
    assert sketch(values).deviation == pytest.approx(values.std(), rel=1e-9)


def test_huge_values_are_in_the_highest_bucket() -> None:
    assert buckets(np.array([MOST * 1e5, -MOST * 1e5])).tolist() == [1_020, -1_020]
