"""The number of predictions by hour: right after every change of the log, and read again only where it changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads import clock
from leads.predictions.scan import PredictionScan
from monitoring.summaries import counting
from monitoring.summaries.counting import count
from tests.support.monitoring.watch_world import START
from tests.support.prediction_world import batch, write


def at(hour: float) -> int:
    return START + round(hour * clock.HOUR)


def hours(folder: Path, since: float = 0, **given: object) -> dict[int, int]:
    found = count(folder, "spam", at(since), **given)  # type: ignore[arg-type]
    return {(hour - START) // clock.HOUR: n for hour, n in sorted(found.hours.items())}


def test_hours_are_counted_after_every_change(tmp_path: Path) -> None:
    write(tmp_path, batch(1, 2, at=at(1.5)), batch(3, at=at(26.5)))
    assert hours(tmp_path) == {1: 2, 26: 1}
    assert hours(tmp_path, 2) == {26: 1}
    write(tmp_path, batch(4, at=at(1.6), source="worker"))
    assert hours(tmp_path) == {1: 3, 26: 1}
    assert hours(tmp_path, ignored=["worker"]) == {1: 2, 26: 1}
    assert hours(tmp_path) == {1: 3, 26: 1}
    for path in tmp_path.rglob("*.parquet"):
        path.unlink()
    assert hours(tmp_path) == {}


def test_only_days_that_changed_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def scan(folder: Path, harm: str, since: int, until: int) -> PredictionScan:
        read.append((since - START) // clock.DAY)
        return PredictionScan(folder, harm, since, until)

    write(tmp_path, batch(1, at=at(1)), batch(2, at=at(26)))
    monkeypatch.setattr(counting, "PredictionScan", scan)
    hours(tmp_path)
    hours(tmp_path)
    assert read == [0, 1]
    write(tmp_path, batch(3, at=at(27)))
    assert hours(tmp_path) == {1: 1, 26: 1, 27: 1}
    assert read == [0, 1, 1]
    # A day of which nothing is asked is neither read nor kept.
    assert hours(tmp_path, 24) == {26: 1, 27: 1}
    assert read == [0, 1, 1]


def test_a_damaged_file_of_counts_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, batch(1, at=at(1)))
    assert hours(tmp_path) == {1: 1}
    (tmp_path / "counted-spam.json").write_text("{")
    assert hours(tmp_path) == {1: 1}
    assert (tmp_path / "counted-spam.json").read_text() != "{"


def test_unreadable_files_are_counted(tmp_path: Path) -> None:
    write(tmp_path, batch(1, at=at(1)))
    next(tmp_path.rglob("*.parquet")).write_bytes(b"no parquet")
    write(tmp_path, batch(2, at=at(1)))
    assert hours(tmp_path) == {1: 1}
    assert count(tmp_path, "spam", START).unreadable == 1
