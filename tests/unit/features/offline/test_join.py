"""The point-in-time join, compared with a search through every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.declared.builtin import ACCOUNT, LAYOUT_OF, PARENT
from features.fold.fold import ViewBatch
from features.offline import segments
from features.offline.join import locate, read_links, read_packed
from features.offline.segments import write_segment
from features.rows import pack

KEYS = st.sampled_from(["a", "b", "c", "ä"])
# By segment: (key, time) of its rows in order of time; the value of each row tells it apart.
SEGMENTS = st.lists(st.lists(st.tuples(KEYS, st.integers(1, 30)), min_size=1, max_size=8), max_size=4)
QUERIES = st.lists(st.tuples(st.none() | KEYS | st.just("unknown"), st.integers(0, 32)), max_size=12)


def write(folder: Path, made: list[list[tuple[str, int]]]) -> tuple[list[Path], list[tuple[str, int, float]]]:
    files, rows, value = [], [], 0.0
    for n, one in enumerate(made):
        batch = ViewBatch()
        for key, at in sorted(one, key=lambda row: row[1]):
            value += 1.0
            cells = np.full((1, ACCOUNT.width), value, np.float32)
            batch.extend(ViewBatch([key], [int(value)], [at], pack(ACCOUNT, cells, [(f"device {value}",)])))
            rows.append((key, at, value))
        files.append(folder / "account" / f"{n}.parquet")
        write_segment(files[-1], ACCOUNT, batch)
    return files, rows


@pytest.mark.slow
@given(SEGMENTS, QUERIES)
def test_each_query_finds_the_newest_row_that_was_visible(
    tmp_path_factory: pytest.TempPathFactory, made: list[list[tuple[str, int]]], asked: list[tuple[str | None, int]]
) -> None:
    files, rows = write(tmp_path_factory.mktemp("segments"), made)
    keys, at = [key for key, _ in asked], np.array([at for _, at in asked], np.int64)
    places = locate(files, ACCOUNT, keys, at)
    packed = np.full((len(asked), ACCOUNT.width), np.nan, np.float32)
    read_packed(ACCOUNT, places, packed)
    links = read_links(ACCOUNT, places)
    for (key, until), found, (device,) in zip(asked, packed, links, strict=True):
        visible = [(then, value) for name, then, value in rows if name == key and then <= until]
        if key is None or until == 0 or not visible:
            assert np.isnan(found).all()
            assert device is None
            continue
        newest = max(then for then, _ in visible)
        assert found[0] in [value for then, value in visible if then == newest]
        assert (found == found[0]).all()
        assert device == f"device {found[0]}"


def test_rows_are_read_a_row_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_ROWS_AT_ONCE", 3)
    files, _ = write(tmp_path, [[("a", at) for at in range(1, 9)]])
    places = locate(files, ACCOUNT, ["a", "a", "a"], np.array([2, 5, 30]))
    assert [group.number for group in places.groups] == [0, 1, 2]
    assert places.group.tolist() == [0, 1, 2]
    assert places.row.tolist() == [1, 1, 1]


def test_a_view_without_links_or_rows_has_none(tmp_path: Path) -> None:
    write_segment(tmp_path / "parent" / "0.parquet", LAYOUT_OF["parent"], ViewBatch())
    places = locate([tmp_path / "parent" / "0.parquet"], LAYOUT_OF["parent"], ["t1"], np.array([5]))
    assert read_links(PARENT, places) == [()]
    assert places.group.tolist() == [-1]
