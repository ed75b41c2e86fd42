"""The prediction log: nothing lost silently, nothing read twice, nothing half-written read at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from leads import clock
from leads.errors import Unavailable
from leads.prediction_segments import host, remove_torn
from leads.predictions import SCHEMA, Prediction, PredictionLog, days, read_predictions, scan_predictions

AT = 1_780_012_800_000_000 // clock.DAY * clock.DAY


def prediction(number: int, *, at: int = AT, harm: str = "spam", score: float = 0.5, scored_at: int = AT) -> Prediction:
    return Prediction(
        prediction_id=f"p{number}",
        type_id="comment",
        subject_id=f"c{number}",
        harm=harm,
        at=at,
        scored_at=scored_at,
        model_version="1",
        contract_hash="c0ffee",
        vector=np.array([number, np.nan, -1.5], dtype=np.float32),
        score=score,
        tier="review",
        row_at=(AT - 1, 0),
        links=("a1", None),
        text_hash=2**64 - 1,
        source="api",
    )


def ids(folder: Path, harm: str = "spam", **window: int) -> list[str]:
    return list(read_predictions(folder, harm, **window)["prediction_id"].to_pylist())


def segments(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def test_what_is_logged_is_read_exactly(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api")
    log.append([prediction(1, score=0.1 + 0.2)])
    log.close()
    table = read_predictions(tmp_path, "spam")
    assert table.schema.equals(SCHEMA)
    row = table.to_pylist()[0]
    np.testing.assert_array_equal(np.float32(row.pop("vector")), prediction(1).vector)
    expected = {name: getattr(prediction(1, score=0.1 + 0.2), name) for name in SCHEMA.names if name != "vector"}
    expected |= {name: list(expected[name]) for name in ("row_at", "links")}
    assert row == expected


def test_nothing_logged_is_an_empty_table(tmp_path: Path) -> None:
    table = read_predictions(tmp_path / "nowhere", "spam")
    assert table.num_rows == 0
    assert table.schema.equals(SCHEMA)


def test_segments_lie_by_harm_and_day_and_windows_are_half_open(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api")
    log.append(
        [prediction(3, at=AT + clock.DAY), prediction(1, at=AT - 1), prediction(2), prediction(9, harm="sexism")]
    )
    log.close()
    assert len(days(tmp_path, "spam")) == 3
    assert ids(tmp_path) == ["p1", "p2", "p3"]
    assert ids(tmp_path, since=AT) == ["p2", "p3"]
    assert ids(tmp_path, until=AT) == ["p1"]
    assert ids(tmp_path, since=AT, until=AT + clock.DAY) == ["p2"]
    assert ids(tmp_path, "sexism") == ["p9"]


def test_days_outside_the_window_arent_read(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api")
    log.append([prediction(1), prediction(2, at=AT + clock.DAY)])
    log.close()
    segments(tmp_path)[1].write_bytes(b"torn")
    assert scan_predictions(tmp_path, "spam", until=AT + 1).unreadable == ()
    assert len(scan_predictions(tmp_path, "spam").unreadable) == 1


def test_one_act_logged_twice_is_read_once_the_first_one(tmp_path: Path) -> None:
    for score, scored_at in ((0.9, AT + 5), (0.1, AT + 1), (0.5, AT + 3)):
        log = PredictionLog(tmp_path, owner="api")
        log.append([prediction(1, score=score, scored_at=scored_at), prediction(2)])
        log.close()
    table = read_predictions(tmp_path, "spam")
    assert sorted(table["prediction_id"].to_pylist()) == ["p1", "p2"]
    assert dict(zip(table["prediction_id"].to_pylist(), table["score"].to_pylist(), strict=True))["p1"] == 0.1


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_a_segment_that_cant_be_read_is_left_out_and_named(tmp_path: Path, content: bytes) -> None:
    log = PredictionLog(tmp_path, owner="api")
    log.append([prediction(1)])
    log.close()
    broken = segments(tmp_path)[0].with_name("broken.parquet")
    broken.write_bytes(content)
    scanned = scan_predictions(tmp_path, "spam")
    assert scanned.table["prediction_id"].to_pylist() == ["p1"]
    assert scanned.unreadable == (broken,)


def test_a_started_log_writes_by_itself(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api", flush_s=0.01)
    assert threading.active_count() == len(threading.enumerate())
    log.start()
    log.append([prediction(1)])
    deadline = time.monotonic() + 20
    while not segments(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ids(tmp_path) == ["p1"]
    log.close()


def test_a_full_buffer_drops_and_counts(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api", capacity=3)
    log.append([prediction(i) for i in range(5)])
    log.append([prediction(7)])
    assert log.dropped == 3
    assert log.flush() == 3
    log.append([prediction(8)])
    log.close()
    assert ids(tmp_path) == ["p0", "p1", "p2", "p8"]
    log.append([prediction(9)])
    assert log.dropped == 4


def test_threads_lose_nothing(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, owner="api", flush_s=0.005)
    log.start()

    def work(start: int) -> None:
        for i in range(start, start + 200):
            log.append([prediction(i)])

    threads = [threading.Thread(target=work, args=(n * 200,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(ids(tmp_path)) == sorted(f"p{i}" for i in range(800))
    assert log.dropped == 0


def test_rows_that_cant_be_written_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    folder.write_text("in the way")
    log = PredictionLog(folder, owner="api")
    log.append([prediction(1), prediction(2, harm="sexism")])
    with pytest.raises(Unavailable):
        log.flush()
    folder.unlink()
    assert log.flush() == 2
    assert ids(folder) == ["p1"]
    log.close()


def test_two_logs_never_share_a_name(tmp_path: Path) -> None:
    for _ in range(2):
        logs = [PredictionLog(tmp_path, owner="api") for _ in range(2)]
        for log in logs:
            log.append([prediction(1)])
            log.close()
    assert len(segments(tmp_path)) == 4


def test_leavings_of_a_dead_writer_are_removed_and_never_read(tmp_path: Path) -> None:
    folder = tmp_path / "harm=spam" / "day=2026-01-31"
    folder.mkdir(parents=True)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    torn = folder / f".api-{host()}-{dead.pid}-1-00000001.parquet.tmp"
    being_written = folder / f".api-{host()}-{os.getpid()}-1-00000001.parquet.tmp"
    elsewhere = folder / ".api-elsewhere-1-1-00000001.parquet.tmp"
    forgotten = folder / ".api-elsewhere-1-1-00000002.parquet.tmp"
    strange = folder / ".strange.parquet.tmp"
    for path in (torn, being_written, elsewhere, forgotten, strange):
        path.write_bytes(b"PAR1")
    os.utime(forgotten, (time.time() - 3_600,) * 2)
    assert read_predictions(tmp_path, "spam").num_rows == 0
    log = PredictionLog(tmp_path, owner="api")
    log.start()
    log.close()
    assert sorted(folder.iterdir()) == sorted([being_written, elsewhere, strange])
    assert remove_torn(tmp_path) == 0


def test_a_killed_writer_leaves_whole_segments(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "from test_predictions import *\n"
        "log = PredictionLog(Path(sys.argv[1]), owner='api'); i = 0\n"
        "while True:\n"
        "    log.append([prediction(i * 500 + j) for j in range(500)]); log.flush(); i += 1\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)])
    deadline = time.monotonic() + 60
    while len(segments(tmp_path)) < 3 and time.monotonic() < deadline and writer.poll() is None:
        time.sleep(0.005)
    writer.kill()
    writer.wait()
    scanned = scan_predictions(tmp_path, "spam")
    assert scanned.unreadable == ()
    assert scanned.table.num_rows == 500 * len(segments(tmp_path)) >= 1_500
    remove_torn(tmp_path)
    assert list(tmp_path.rglob("*.tmp")) == []
