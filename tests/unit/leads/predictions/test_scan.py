"""The prediction log in slices: the same rows as at once, few at a time, also while segments are merged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leads import clock
from leads.predictions import scan as scans
from leads.predictions.compaction import Compactor
from leads.predictions.scan import PredictionScan, scan_predictions
from tests.support.prediction_world import AT, batch, segments, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """30 hours of predictions, some of which were logged twice."""
    monkeypatch.setattr(scans, "_SLICE_ROWS", 20)
    for i in range(60):
        many = tuple(range(10 * i, 10 * i + 10))
        write(tmp_path, batch(*many, at=AT + i * clock.HOUR // 2, model_version=str(i % 2)))
        if i % 5 == 0:
            write(tmp_path, batch(*many[:3], at=AT + i * clock.HOUR // 2, model_version=str(i % 2), scored_at=AT + 9))
    return tmp_path


def numbers(tables: list[pa.Table]) -> list[int]:
    return [int(id_[1:]) for table in tables for id_ in table["prediction_id"].to_pylist()]


def test_slices_are_small_and_together_all_there_is_once_and_in_order(folder: Path) -> None:
    slices = list(PredictionScan(folder, "spam").slices(["score", "prediction_id"]))
    assert {tuple(table.column_names) for table in slices} == {("score", "prediction_id")}
    assert max(map(len, slices)) <= 20
    assert numbers(slices) == list(range(600))
    backwards = list(PredictionScan(folder, "spam").slices(["prediction_id"], newest_first=True))
    assert numbers(backwards[::-1]) == list(range(600))
    assert numbers([scan_predictions(folder, "spam").table]) == list(range(600))


def test_few_predictions_are_one_slice_a_day(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_SLICE_ROWS", 10_000)
    assert [len(table) for table in PredictionScan(folder, "spam").slices(["at"])] == [480, 120]


def test_a_range_and_a_version_are_read_alone(folder: Path) -> None:
    since, until = AT + 7 * clock.HOUR, AT + 25 * clock.HOUR + 1
    slices = list(PredictionScan(folder, "spam", since, until, version="0").slices(["at", "prediction_id"]))
    assert numbers(slices) == [n for n in range(140, 510) if n // 10 % 2 == 0]
    assert list(PredictionScan(folder, "spam", since, since).slices()) == []
    assert list(PredictionScan(folder, "nothing").slices()) == []


def test_an_extent_counts_rows_from_footers_and_reads_only_split_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(48):
        write(tmp_path, batch(*range(10 * i, 10 * i + 10), at=AT + i * clock.HOUR))
    since, until = AT + 5 * clock.HOUR + 1, AT + 40 * clock.HOUR
    expected = scan_predictions(tmp_path, "spam", since, until).table
    assert PredictionScan(tmp_path, "spam", since, until).extent() == (expected.num_rows, expected["at"][0].as_py())
    assert PredictionScan(tmp_path, "spam").extent() == (480, AT)
    assert PredictionScan(tmp_path, "spam", until=AT).extent() == (0, None)
    compactor = Compactor(tmp_path, settled_s=0)
    while compactor.compact():
        pass
    assert PredictionScan(tmp_path, "spam", since, until).extent() == (expected.num_rows, expected["at"][0].as_py())
    monkeypatch.setattr(PredictionScan, "_rows", None)
    assert PredictionScan(tmp_path, "spam", AT, AT + 3 * clock.DAY).extent() == (480, AT)


def test_segments_that_are_merged_meanwhile_are_read_from_the_merged_one(folder: Path) -> None:
    scan = PredictionScan(folder, "spam").slices(["prediction_id"])
    found = [next(scan)]
    compactor = Compactor(folder, settled_s=0)
    while compactor.compact():
        pass
    found += scan
    assert numbers(found) == list(range(600))


@pytest.mark.slow
def test_segments_without_statistics_are_read_for_every_slice(folder: Path) -> None:
    for path in segments(folder):
        pq.write_table(pq.read_table(path), path, write_statistics=False)
    assert numbers(list(PredictionScan(folder, "spam").slices(["prediction_id"]))) == list(range(600))


def test_a_segment_that_breaks_while_it_is_read_is_skipped(folder: Path) -> None:
    scan = PredictionScan(folder, "spam")
    slices = scan.slices(["prediction_id", "score"])
    first = next(slices)
    # Names of segments of one second are in no order.
    broken = next(path for path in segments(folder) if "p599" in pq.read_table(path)["prediction_id"].to_pylist())
    broken.write_bytes(b"PAR1")
    found = numbers([first, *slices])
    assert found == list(range(590))
    assert scan.unreadable == (broken,)
    assert np.all(np.diff(found) > 0)
