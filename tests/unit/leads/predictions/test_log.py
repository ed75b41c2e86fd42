"""The prediction log: no row is lost silently, read twice, or read half-written."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leads import clock
from leads.errors import Unavailable
from leads.predictions.log import SCHEMA, PredictionLog, days, read_predictions, scan_predictions
from leads.predictions.repair import repair
from tests.support.paths import REPOSITORY
from tests.support.prediction_world import AT, batch, ids, segments, write


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_rows_are_read_back_exactly(tmp_path: Path) -> None:
    write(tmp_path, batch(1, scores=np.array([0.1 + 0.2])))
    table = read_predictions(tmp_path, "spam")
    assert table.schema.equals(SCHEMA)
    row = table.to_pylist()[0]
    np.testing.assert_array_equal(np.float32(row.pop("vector")), batch(1).vectors[0])
    assert row == {
        "prediction_id": "p1",
        "type_id": "comment",
        "subject_id": "c1",
        "harm": "spam",
        "at": AT,
        "scored_at": AT,
        "took_us": 1_234,
        "model_version": "1",
        "role": "champion",
        "contract_hash": "c0ffee",
        "score": 0.1 + 0.2,
        "tier": "review",
        "row_at": [AT - 1, 0],
        "links": ["a1", None],
        "text_hash": 2**64 - 1,
        "source": "api",
        "row_roles": "item,account",
    }


def test_an_empty_log_is_an_empty_table(tmp_path: Path) -> None:
    table = read_predictions(tmp_path / "nowhere", "spam")
    assert table.num_rows == 0
    assert table.schema.equals(SCHEMA)


@pytest.mark.parametrize(("name", "value"), [("took_us", 1_234), ("row_roles", "item,account")])
def test_old_segments_without_a_column_are_read(tmp_path: Path, name: str, value: object) -> None:
    write(tmp_path, batch(1))
    (path,) = segments(tmp_path)
    old = pa.schema([field for field in SCHEMA if field.name != name])
    table = read_predictions(tmp_path, "spam").select(old.names).cast(old)
    pq.write_table(table.cast(old), path.with_name("old.parquet"), compression="zstd")
    path.unlink()
    write(tmp_path, batch(2))
    table = read_predictions(tmp_path, "spam")
    assert table.schema.equals(SCHEMA)
    assert table["prediction_id"].to_pylist() == ["p1", "p2"]
    assert table[name].to_pylist() == [None, value]


def test_a_foreign_table_is_skipped_and_reported(tmp_path: Path) -> None:
    write(tmp_path, batch(1))
    strange = segments(tmp_path)[0].with_name("strange.parquet")
    pq.write_table(pa.table({"x": [1]}), strange)
    assert scan_predictions(tmp_path, "spam").unreadable == (strange,)


def test_segments_are_stored_by_harm_and_day_and_windows_are_half_open(tmp_path: Path) -> None:
    batches = [batch(3, at=AT + clock.DAY), batch(1, at=AT - 1), batch(2), batch(9, harm="sexism")]
    write(tmp_path, *batches)
    assert len(days(tmp_path, "spam")) == 3
    assert ids(tmp_path) == ["p1", "p2", "p3"]
    assert ids(tmp_path, since=AT) == ["p2", "p3"]
    assert ids(tmp_path, until=AT) == ["p1"]
    assert ids(tmp_path, since=AT, until=AT + clock.DAY) == ["p2"]
    assert ids(tmp_path, "sexism") == ["p9"]


def test_days_outside_the_window_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, batch(1), batch(2, at=AT + clock.DAY))
    segments(tmp_path)[1].write_bytes(b"torn")
    assert scan_predictions(tmp_path, "spam", until=AT + 1).unreadable == ()
    assert len(scan_predictions(tmp_path, "spam").unreadable) == 1


def test_of_duplicate_ids_the_first_row_is_read(tmp_path: Path) -> None:
    for score, scored_at in ((0.9, AT + 5), (0.1, AT + 1), (0.5, AT + 3)):
        write(tmp_path, batch(1, 2, scores=np.full(2, score), scored_at=scored_at))
    table = read_predictions(tmp_path, "spam")
    assert sorted(table["prediction_id"].to_pylist()) == ["p1", "p2"]
    assert dict(zip(table["prediction_id"].to_pylist(), table["score"].to_pylist(), strict=True))["p1"] == 0.1


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_an_unreadable_segment_is_skipped_and_reported(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, batch(1))
    broken = segments(tmp_path)[0].with_name("broken.parquet")
    broken.write_bytes(content)
    scanned = scan_predictions(tmp_path, "spam")
    assert scanned.table["prediction_id"].to_pylist() == ["p1"]
    assert scanned.unreadable == (broken,)


def test_a_broken_symlink_is_skipped(tmp_path: Path) -> None:
    write(tmp_path, batch(1))
    nowhere = segments(tmp_path)[0].with_name("nowhere.parquet")
    nowhere.symlink_to(tmp_path / "gone")
    scanned = scan_predictions(tmp_path, "spam")
    assert scanned.table["prediction_id"].to_pylist() == ["p1"]
    assert scanned.unreadable == (nowhere,)


def test_a_started_log_writes_in_the_background(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api", flush_s=0.01)
    assert threading.active_count() == len(threading.enumerate())
    log.start()
    log.append(batch(1))
    until(lambda: segments(tmp_path))
    assert ids(tmp_path) == ["p1"]
    until(lambda: log.waiting == 0)
    log.close()
    assert len(segments(tmp_path)) == 1


def test_without_room_a_whole_batch_is_dropped_and_counted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api", capacity=3)
    log.append(batch(0, 1))
    log.append(batch(2, 3))
    assert (log.waiting, log.dropped) == (2, 2)
    log.append(batch(4))
    log.append(batch(5))
    assert (log.waiting, log.dropped) == (3, 3)
    assert log.flush() == 3
    log.append(batch(8))
    log.append(batch())
    log.close()
    assert ids(tmp_path) == ["p0", "p1", "p4", "p8"]
    log.append(batch(9))
    assert (log.waiting, log.dropped, log.failures, log.last_error) == (0, 4, 0, None)


def test_the_memory_of_vectors_is_limited(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api", capacity_bytes=batch(0, 1, 2).vectors.nbytes)
    log.append(batch(0, 1))
    log.append(batch(2, 3))
    log.append(batch(4))
    assert (log.waiting, log.dropped) == (3, 2)
    log.flush()
    log.append(batch(5, 6, 7))
    log.close()
    assert ids(tmp_path) == ["p0", "p1", "p4", "p5", "p6", "p7"]


def test_the_size_of_segments_is_limited(tmp_path: Path) -> None:
    write(tmp_path, *(batch(*range(i, i + 500)) for i in range(0, 12_500, 500)))
    assert sorted(pq.read_metadata(path).num_rows for path in segments(tmp_path)) == [2_500, 10_000]


def test_concurrent_appends_lose_nothing(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api", flush_s=0.005)
    log.start()

    def work(start: int) -> None:
        for i in range(start, start + 200):
            log.append(batch(i))

    threads = [threading.Thread(target=work, args=(n * 200,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(ids(tmp_path)) == sorted(f"p{i}" for i in range(800))
    assert log.dropped == 0


def test_unwritable_rows_are_kept_while_others_are_written(tmp_path: Path) -> None:
    (tmp_path / "harm=spam").write_text("in the way")
    log = PredictionLog(tmp_path, owner="api", capacity=4)
    log.append(batch(1))
    log.append(batch(2, harm="sexism"))
    with pytest.raises(Unavailable, match="Can't write the prediction log"):
        log.flush()
    assert ids(tmp_path, "sexism") == ["p2"]
    assert (log.waiting, log.failures, log.dropped) == (1, 1, 0)
    assert log.last_error
    log.append(batch(3, 4, 5, 6))
    log.append(batch(7))
    (tmp_path / "harm=spam").unlink()
    assert log.flush() == 2
    assert ids(tmp_path) == ["p1", "p7"]
    assert (log.waiting, log.failures, log.dropped, log.last_error) == (0, 1, 4, None)
    log.close()


def test_misfit_batches_dont_block_others(tmp_path: Path) -> None:
    (tmp_path / "harm=spam").write_text("in the way")
    log = PredictionLog(tmp_path, owner="api")
    for one in (batch(1), batch(2, 3, text_hashes=[5, -1]), batch(4), batch(5, prediction_ids=["\ud800"])):
        log.append(one)
    for _ in range(2):
        with pytest.raises(Unavailable):
            log.flush()
    assert (log.waiting, log.dropped) == (2, 3)
    (tmp_path / "harm=spam").unlink()
    assert log.flush() == 2
    assert ids(tmp_path) == ["p1", "p4"]
    log.close()


def test_a_failed_close_reports_the_number_of_lost_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "predictions"
    folder.write_text("in the way")
    log = PredictionLog(folder, owner="api", flush_s=0.005)
    log.start()
    log.append(batch(1, 2, 3))
    with pytest.raises(Unavailable, match="3 predictions are lost"):
        log.close()
    assert (log.waiting, log.dropped) == (0, 3)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "3 predictions lost since" in said[-1]
    log.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KB, if the test may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_loses_only_what_exceeds_the_buffer(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    random = np.random.default_rng(3)

    def noise(*numbers: int) -> None:
        vectors = random.random((len(numbers), 50), np.float32)
        log.append(batch(*numbers, vectors=vectors))

    (small_disk / "filler").write_bytes(b"x" * 100_000)
    log = PredictionLog(small_disk / "predictions", owner="api", capacity=250, flush_s=0.005)
    log.start()
    noise(*range(200))
    until(lambda: log.failures > 2)
    assert log.last_error == "No space left on device"
    noise(*range(200, 300))
    noise(*range(300, 350))
    assert (log.waiting, log.dropped) == (250, 100)
    # A temporary file exists during each retry, but none remains.
    until(lambda: not list(small_disk.rglob("*.tmp")))
    assert segments(small_disk) == []
    failures = log.failures
    until(lambda: log.failures > failures)
    (small_disk / "filler").unlink()
    until(lambda: log.waiting == 0)
    log.close()
    assert sorted(ids(small_disk / "predictions")) == sorted(f"p{i}" for i in (*range(200), *range(300, 350)))
    assert (log.dropped, log.last_error) == (100, None)
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert "No space left on device; check the free space" in errors[0]
    assert "prediction log: 100 predictions lost since 2" in errors[1]


def test_writers_never_share_a_name(tmp_path: Path) -> None:
    for _ in range(2):
        logs = [PredictionLog(tmp_path, owner="api") for _ in range(2)]
        for log in logs:
            log.append(batch(1))
            log.close()
    assert len(segments(tmp_path)) == 4


def test_a_killed_writer_leaves_only_whole_segments(tmp_path: Path) -> None:
    script = (
        "import sys; from tests.support.prediction_world import *\n"
        "log = PredictionLog(Path(sys.argv[1]), owner='api'); i = 0\n"
        "while True:\n"
        "    log.append(batch(*range(i * 500, i * 500 + 500))); log.flush(); i += 1\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=REPOSITORY)
    deadline = time.monotonic() + 60
    while len(segments(tmp_path)) < 3 and time.monotonic() < deadline and writer.poll() is None:
        time.sleep(0.005)
    writer.kill()
    writer.wait()
    scanned = scan_predictions(tmp_path, "spam")
    assert scanned.unreadable == ()
    assert scanned.table.num_rows == 500 * len(segments(tmp_path)) >= 1_500
    repair(tmp_path)
    assert list(tmp_path.rglob("*.tmp")) == []
