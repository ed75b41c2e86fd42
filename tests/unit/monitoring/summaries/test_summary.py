"""Summaries: packing loses nothing, sums are those of all rows, and bytes that aren't a summary are refused."""

from __future__ import annotations

import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.summaries.sketch import sketch
from monitoring.summaries.summary import EMPTY, Summary, merge, pack, unpack

names = st.sampled_from(["a", "b", "score"])
counts = st.integers(1, 1_000)
sketches = st.lists(st.floats(width=32), max_size=20).map(lambda values: sketch(np.array(values, np.float64)))
summaries = st.builds(
    Summary,
    rows=counts,
    predictions=counts,
    columns=st.dictionaries(names, sketches),
    categories=st.dictionaries(names, st.dictionaries(st.text(max_size=8), counts)),
    by_tier=st.dictionaries(st.sampled_from(["none", "review", "auto"]), st.tuples(counts, st.floats(0, 1_000))),
)


def plain(one: Summary) -> tuple[object, ...]:
    columns = {
        name: (found.missing, found.keys.tolist(), found.counts.tolist(), found.total, found.squares)
        for name, found in one.columns.items()
    }
    return one.rows, one.predictions, columns, dict(one.categories), dict(one.by_tier)


@given(summaries)
def test_packing_loses_nothing(one: Summary) -> None:
    assert plain(unpack(pack(one))) == plain(one)


@given(summaries, summaries, summaries)
def test_the_order_of_merging_does_not_matter(a: Summary, b: Summary, c: Summary) -> None:
    whole, other = merge([a, b, c]), merge([merge([c, a]), b])
    assert (whole.rows, whole.predictions) == (other.rows, other.predictions)
    assert {name: (found.rows, found.counts.tolist()) for name, found in whole.columns.items()} == {
        name: (found.rows, found.counts.tolist()) for name, found in other.columns.items()
    }
    assert {name: dict(values) for name, values in whole.categories.items()} == {
        name: dict(values) for name, values in other.categories.items()
    }
    assert {tier: n for tier, (n, _) in whole.by_tier.items()} == {tier: n for tier, (n, _) in other.by_tier.items()}


@given(summaries)
def test_nothing_added_changes_nothing(one: Summary) -> None:
    assert plain(merge([one, EMPTY])) == plain(one)
    assert merge([]) == EMPTY


@pytest.mark.parametrize(
    "raw",
    [b"", b"no summary", zlib.compress(b"no summary"), zlib.compress(msgspec.msgpack.encode([2, 1, 1, {}, {}, {}]))],
)
def test_what_is_no_summary_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="summary"):
        unpack(raw)


def test_damaged_columns_are_refused() -> None:
    columns = {"a": [0, b"\x01\x00", b"\x01\x00\x00\x00\x02\x00\x00\x00", 1.0, 1.0]}
    raw = zlib.compress(msgspec.msgpack.encode([1, 1, 1, columns, {}, {}]))
    with pytest.raises(ValueError, match="buckets and counts differ"):
        unpack(raw)
