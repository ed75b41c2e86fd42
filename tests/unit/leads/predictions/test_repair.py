"""Cleaning up after dead writers and failing disks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leads import clock
from leads.predictions.log import PredictionLog
from leads.predictions.repair import repair
from leads.predictions.scan import scan_predictions
from leads.predictions.segments import host
from tests.support.prediction_world import AT, batch, ids, segments, write


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def age(path: Path, seconds: float) -> Path:
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def torn_segment(folder: Path, name: str, *, seconds: float, content: bytes | None = None) -> Path:
    """The first half of a segment, as after a disk failure."""
    path = folder / f"{name}.parquet"
    whole = segments(folder)[0].read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    return age(path, seconds)


def test_temporary_files_of_dead_writers_are_deleted_and_never_read(tmp_path: Path, dead: int) -> None:
    folder = tmp_path / "harm=spam" / "day=2026-01-31"
    folder.mkdir(parents=True)
    torn = folder / f".api-{host()}-{dead}-1-00000001.parquet.tmp"
    being_written = folder / f".api-{host()}-{os.getpid()}-1-00000001.parquet.tmp"
    elsewhere = folder / ".api-elsewhere-1-1-00000001.parquet.tmp"
    forgotten = folder / ".api-elsewhere-1-1-00000002.parquet.tmp"
    strange = folder / ".strange.parquet.tmp"
    for path in (torn, being_written, elsewhere, forgotten, strange):
        path.write_bytes(b"PAR1")
    age(forgotten, 3_600)
    assert ids(tmp_path) == []
    log = PredictionLog(tmp_path, owner="api")
    log.start()
    log.close()
    assert sorted(folder.iterdir()) == sorted([being_written, elsewhere, strange])
    assert repair(tmp_path).removed == 0


@pytest.mark.parametrize("content", [None, b"", b"PAR1" + b"\0" * 500, b"PAR1" + b"x" * 100 + b"PAR1"])
def test_a_torn_segment_is_renamed_and_kept(
    tmp_path: Path, dead: int, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, batch(1))
    day = segments(tmp_path)[0].parent
    torn = torn_segment(day, f"api-{host()}-{dead}-1-00000001", seconds=90, content=content)
    before = torn.read_bytes()
    assert len(scan_predictions(tmp_path, "spam").unreadable) == 1
    log = PredictionLog(tmp_path, owner="api")
    log.start()
    log.close()
    assert log.torn == 1
    assert not torn.exists()
    assert torn.with_name(f"{torn.name}.torn").read_bytes() == before
    assert scan_predictions(tmp_path, "spam").unreadable == ()
    assert ids(tmp_path) == ["p1"]
    (said,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert str(torn) in said.getMessage()


def test_files_of_possibly_live_writers_are_left_alone_for_ten_minutes(tmp_path: Path, dead: int) -> None:
    write(tmp_path, batch(1))
    day = segments(tmp_path)[0].parent
    torn_segment(day, f"api-{host()}-{os.getpid()}-1-00000001", seconds=90)
    torn_segment(day, "api-elsewhere-1-1-00000001", seconds=90)
    torn_segment(day, f"api-{host()}-{dead}-1-00000001", seconds=10)
    torn_segment(day, "strange", seconds=90)
    assert repair(tmp_path).torn == ()
    for path in segments(tmp_path):
        age(path, 700)
    assert len(repair(tmp_path).torn) == 4
    assert ids(tmp_path) == ["p1"]


def test_old_days_are_not_checked(tmp_path: Path, dead: int) -> None:
    write(tmp_path, batch(1), batch(2, at=AT + clock.DAY))
    old, new = (path.parent for path in segments(tmp_path))
    name = f"api-{host()}-{dead}-1-00000001"
    torn_segment(old, name, seconds=90)
    before_the_outage = torn_segment(new, name, seconds=11 * 86_400)
    age(old, 20 * 86_400)
    age(new, 10 * 86_400)
    assert repair(tmp_path).torn == (before_the_outage.with_name(f"{name}.parquet.torn"),)


def test_an_empty_log_needs_no_repair(tmp_path: Path) -> None:
    assert repair(tmp_path / "nowhere") == (0, ())


def test_a_segment_without_read_permission_is_not_torn(tmp_path: Path, dead: int) -> None:
    write(tmp_path, batch(1))
    day = segments(tmp_path)[0].parent
    folder = day / f"api-{host()}-{dead}-1-00000001.parquet"
    folder.mkdir()
    age(folder, 7_000)
    assert repair(tmp_path).torn == ()
    assert folder.is_dir()
