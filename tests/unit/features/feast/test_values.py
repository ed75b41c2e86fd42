"""Numbers in Feast's serialised values, against Feast's own protocol buffers.

Importing Feast takes seconds, so nothing imports it when tests are collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.feast.values import instant, numbers, timestamp, value_of

if TYPE_CHECKING:
    from feast.protos.feast.types.Value_pb2 import Value


def values() -> st.SearchStrategy[tuple[Value, float]]:
    """Values of Feast, each with what is read from it."""
    from feast.protos.feast.types.Value_pb2 import Value

    return st.one_of(
        st.floats(width=64).map(lambda x: (Value(double_val=x), x)),
        st.floats(width=32).map(lambda x: (Value(float_val=x), x)),
        st.integers(-(2**63), 2**63 - 1).map(lambda x: (Value(int64_val=x), float(x))),
        st.integers(-(2**31), 2**31 - 1).map(lambda x: (Value(int32_val=x), float(x))),
        st.booleans().map(lambda x: (Value(bool_val=x), float(x))),
        st.sampled_from([Value(), Value(null_val=0), Value(string_val="7"), Value(unix_timestamp_val=7)]).map(
            lambda one: (one, np.nan)
        ),
    )


@pytest.mark.slow
@given(st.lists(st.deferred(values), max_size=12))
def test_numbers_are_read_from_feasts_values(given: list[tuple[Value, float]]) -> None:
    raw = [one.SerializeToString() for one, _ in given]
    np.testing.assert_array_equal(numbers([*raw, None]), [*(x for _, x in given), np.nan])


@given(st.lists(st.none() | st.binary(max_size=12), max_size=8))
def test_garbage_is_missing(raw: list[bytes | None]) -> None:
    assert numbers(raw).shape == (len(raw),)


@pytest.mark.slow
@given(
    st.floats(-1e18, 1e18, width=64),
    st.floats(-(2.0**50), 2.0**50, width=32),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.booleans(),
)
def test_values_are_written_as_feast_writes_them(
    double: float, single: float, long: int, short: int, flag: bool
) -> None:
    from feast.protos.feast.types.Value_pb2 import Value

    assert value_of("float64", double) == Value(double_val=double).SerializeToString()
    assert value_of("float32", single) == Value(float_val=single).SerializeToString()
    assert value_of("int64", long) == Value(int64_val=long).SerializeToString()
    assert value_of("int32", short) == Value(int32_val=short).SerializeToString()
    assert value_of("bool", flag) == Value(bool_val=flag).SerializeToString()
    assert value_of("int64", float("nan")) == value_of("float32", None) == b""


@given(st.integers(1, 4 * 10**15))
def test_times_survive(at: int) -> None:
    assert instant(timestamp(at)) == at
    assert instant(None) == instant(b"") == instant(b"\x10\x05") == 0
