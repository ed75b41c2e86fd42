"""Stored rows give back exactly what was packed, and nothing else is taken for a row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.declared.builtin import ACCOUNT, ITEM, LAYOUTS, PARENT
from features.layout import Layout
from features.rows import LinkValues, is_row, join, links_in, pack, split, unpack
from leads.errors import ConfigurationError

# Bit patterns: 0, -0, 1, the smallest denormal, infinity, quiet NaN, one with a payload, a signalling NaN.
SPECIAL = [0, 0x80000000, 0x3F800000, 1, 0x7F800000, 0x7FC00000, 0xFFC12345, 0x7F800001]
PATTERNS = st.lists(st.sampled_from([0, 0, 0, *SPECIAL]) | st.integers(0, 2**32 - 1), min_size=1, max_size=40)
LINK = st.none() | st.text(max_size=8) | st.just("x" * 5_000)


def cells_of(layout: Layout, patterns: list[list[int]]) -> np.ndarray:
    rows = [np.resize(np.array(pattern, np.uint32), layout.width) for pattern in patterns]
    return np.array(rows, np.uint32).reshape(len(rows), layout.width).view(np.float32)


@given(layout=st.sampled_from(LAYOUTS), patterns=st.lists(PATTERNS, max_size=4), link=LINK)
def test_rows_and_links_come_back_bit_for_bit(layout: Layout, patterns: list[list[int]], link: str | None) -> None:
    cells = cells_of(layout, patterns)
    links: list[LinkValues] = [(link,) * len(layout.links)] * len(cells)
    packed = pack(layout, cells, links)
    assert all(is_row(layout, row) for row in packed)
    np.testing.assert_array_equal(unpack(layout, packed).view(np.uint32), cells.view(np.uint32))
    assert [links_in(layout, row) for row in packed] == links


def test_rows_of_several_views_are_decoded_together() -> None:
    rng = np.random.default_rng(1)
    views = []
    for layout, n in ((ITEM, 3), (PARENT, 0), (ACCOUNT, 2)):
        cells = rng.integers(0, 2, (n, layout.width)).astype(np.float32)
        views.append((layout, cells, pack(layout, cells, [(None,) * len(layout.links)] * n)))
    parts = [[part for part in split(layout, packed) if part] for layout, _, packed in views]
    found = join([(layout, rows) for (layout, _, _), rows in zip(views, parts, strict=True)])
    for (_, cells, _), one in zip(views, found, strict=True):
        np.testing.assert_array_equal(one, cells)


def test_a_row_that_is_mostly_zero_is_small() -> None:
    cells = np.zeros((1, ACCOUNT.width), np.float32)
    cells[0, :7] = 1.0
    assert len(pack(ACCOUNT, cells, [(None,)])[0]) < 110


@pytest.mark.parametrize("damage", ["other layouts", "cut", "longer", "empty"])
def test_a_damaged_row_is_named(damage: str) -> None:
    (row,) = pack(PARENT, np.ones((1, PARENT.width), np.float32), [()])
    damaged = {"other layouts": b"\x01" + row[1:], "cut": row[:-1], "longer": row + b"\0\0\0\0", "empty": b""}[damage]
    assert not is_row(PARENT, damaged)
    with pytest.raises(ConfigurationError, match="parent row was written by another version"):
        unpack(PARENT, [row, damaged])


def test_damaged_links_are_named() -> None:
    (row,) = pack(ACCOUNT, np.ones((1, ACCOUNT.width), np.float32), [("a device",)])
    with pytest.raises(ConfigurationError, match="account row"):
        links_in(ACCOUNT, row.replace(b"\x91", b"\x92", 1))
