"""Small segments of the prediction log become few, whoever dies or reads meanwhile."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from leads import clock
from leads.files import only_one
from leads.predictions.compaction import FULL_ROWS, Compactor, compacting
from leads.predictions.log import PredictionLog
from leads.predictions.repair import repair
from leads.predictions.scan import read_predictions, scan_predictions
from tests.support.prediction_world import AT, batch, ids, segments, write

TODAY = clock.now() // clock.DAY * clock.DAY
HOURS = 7_200.0


def age(folder: Path, seconds: float) -> None:
    for path in segments(folder):
        os.utime(path, (time.time() - seconds,) * 2)


def compact(folder: Path) -> int:
    compactor, merged = Compactor(folder, settled_s=0), 0
    while some := compactor.compact():
        merged += some
    return merged


def test_enough_small_segments_of_today_become_one_with_the_same_rows(tmp_path: Path) -> None:
    for i in range(8):
        assert compact(tmp_path) == 0
        write(tmp_path, batch(2 * i, 2 * i + 1, at=TODAY + i, scores=np.full(2, i / 8)), batch(i, harm="sexism"))
    before = read_predictions(tmp_path, "spam")
    assert compact(tmp_path) == 16
    (spam,) = segments(tmp_path / "harm=spam")
    assert spam.name.startswith("merged-")
    assert str(read_predictions(tmp_path, "spam").to_pylist()) == str(before.to_pylist())
    assert len(ids(tmp_path, "sexism")) == 8
    assert compact(tmp_path) == 0


def test_a_past_day_that_is_quiet_becomes_one_segment(tmp_path: Path) -> None:
    write(tmp_path, batch(1))
    write(tmp_path, batch(2))
    assert compact(tmp_path) == 0
    age(tmp_path, HOURS)
    compactor = Compactor(tmp_path)
    assert compactor.compact() == 2
    age(tmp_path, HOURS)
    assert compactor.compact() == compactor.compact() == 0
    write(tmp_path, batch(3))
    age(tmp_path, HOURS)
    assert compactor.compact() == 2
    assert ids(tmp_path) == ["p1", "p2", "p3"]
    assert len(segments(tmp_path)) == 1


@pytest.mark.slow
def test_full_and_young_segments_are_left_alone(tmp_path: Path) -> None:
    size = FULL_ROWS // 5
    for start in range(0, 2 * FULL_ROWS, size):
        write(tmp_path, batch(*range(start, start + size), vectors=np.zeros((size, 1), np.float32)))
    for i in range(8):
        write(tmp_path, batch(-i))
    assert Compactor(tmp_path).compact() == 0
    assert compact(tmp_path) == 8 + 5
    age(tmp_path, HOURS)
    assert compact(tmp_path) == 5
    rows = sorted(pq.read_metadata(path).num_rows for path in segments(tmp_path))
    assert rows == [8, FULL_ROWS, FULL_ROWS]
    assert Compactor(tmp_path).compact() == 0
    assert len(ids(tmp_path)) == 2 * FULL_ROWS + 7


def test_a_row_is_rewritten_seldom(tmp_path: Path) -> None:
    rewritten: Counter[str] = Counter()
    for start in range(0, 6_400, 100):
        write(tmp_path, batch(*range(start, start + 100)))
        before = set(segments(tmp_path))
        compact(tmp_path)
        for path in set(segments(tmp_path)) - before:
            rewritten.update(pq.read_table(path)["prediction_id"].to_pylist())
    assert max(rewritten.values()) <= 4
    assert len(segments(tmp_path)) < 16
    assert len(ids(tmp_path)) == 6_400


def test_one_act_in_several_segments_is_kept_once_the_first_one(tmp_path: Path) -> None:
    for score, scored_at in ((0.9, AT + 5), (0.1, AT + 1), (0.5, AT + 3)):
        write(tmp_path, batch(1, scores=np.array([score]), scored_at=scored_at))
    age(tmp_path, HOURS)
    assert compact(tmp_path) == 3
    assert pq.read_table(segments(tmp_path)[0])["score"].to_pylist() == [0.1]


def test_old_segments_without_a_time_are_merged(tmp_path: Path) -> None:
    write(tmp_path, batch(1))
    (path,) = segments(tmp_path)
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["took_us", "row_roles"]), path)
    write(tmp_path, batch(2))
    age(tmp_path, HOURS)
    assert compact(tmp_path) == 2
    assert read_predictions(tmp_path, "spam")["took_us"].to_pylist() == [None, 1_234]


def test_what_cant_be_read_stays_and_holds_nothing_up(tmp_path: Path) -> None:
    for i in range(9):
        write(tmp_path, batch(i))
    torn, *_ = segments(tmp_path)
    torn.write_bytes(torn.read_bytes()[:-9])
    spoilt = segments(tmp_path)[1]
    raw = bytearray(spoilt.read_bytes())
    raw[4:400] = bytes(396)
    spoilt.write_bytes(raw)
    age(tmp_path, HOURS)
    assert compact(tmp_path) == 7
    kept = {path for path in tmp_path.rglob("*.parquet*") if not path.name.startswith("merged-")}
    assert kept == {torn.with_name(f"{torn.name}.torn"), spoilt}
    assert len(ids(tmp_path)) == 7
    assert compact(tmp_path) == 0


def test_while_another_process_merges_nothing_is_done(tmp_path: Path) -> None:
    assert compact(tmp_path / "nowhere") == 0
    for i in range(8):
        write(tmp_path, batch(i))
    with only_one(tmp_path / ".compaction.lock", what="merging"):
        assert compact(tmp_path) == 0
    assert compact(tmp_path) == 8


def test_a_day_that_cant_be_looked_at_keeps_no_other_from_being_merged(tmp_path: Path) -> None:
    for i in range(8):
        write(tmp_path, batch(i), batch(i, harm="zeal"))
    compactor = Compactor(tmp_path, settled_s=0)
    (tmp_path / "harm=spam" / "day=0001-01-01").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        compactor.compact()
    assert len(segments(tmp_path / "harm=zeal")) == 1


def test_it_goes_on_in_the_background(tmp_path: Path) -> None:
    write(tmp_path, batch(1))
    write(tmp_path, batch(2))
    age(tmp_path, HOURS)
    with compacting(tmp_path, every_s=0.01):
        deadline = time.monotonic() + 30
        while len(segments(tmp_path)) > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert ids(tmp_path) == ["p1", "p2"]
    assert len(segments(tmp_path)) == 1


# Dies at the n-th time that it opens, renames or removes something below the folder, for each n until there is none.
KILLED = """
import os, signal, sys
from pathlib import Path
from leads.predictions.compaction import Compactor

def dies_at(step, folder):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        if event in ("open", "os.rename", "os.remove") and str(folder) in str(arguments[0]):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for step, folder in enumerate(sys.argv[1:], 1):
    child = os.fork()
    if not child:
        dies_at(step, folder)
        Compactor(Path(folder), settled_s=0).compact()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_killed_at_any_step_nothing_is_lost_nor_there_twice(tmp_path: Path) -> None:
    rng = random.Random(7)
    world, parts = tmp_path / "world", 9
    for i in range(parts):
        write(world, batch(*range(10 * i, 10 * i + rng.randrange(1, 10)), at=TODAY))
    expected = ids(world)
    folders = [tmp_path / f"killed-{step}" for step in range(1, 25)]
    for folder in folders:
        shutil.copytree(world, folder)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, folders)], capture_output=True, text=True, timeout=800, check=True
    )
    ends = [int(line) for line in done.stdout.split()]
    assert len(ends) == len(folders)
    killed = ends.count(-9)
    # Listed, locked, written, renamed, and each part removed; then there is no step left to die at.
    assert parts + 4 <= killed < len(folders)
    assert set(ends) == {0, -9}
    interrupted = set()
    for folder in folders:
        interrupted.add((len(segments(folder)), len(list(folder.rglob("*.tmp")))))
        check_whole(folder, expected)
        compact(folder)
        check_whole(folder, expected)
        assert len(segments(folder)) == 1
        repair(folder)
        assert list(folder.rglob("*.tmp")) == []
    assert {(parts, 0), (parts, 1), (parts + 1, 0), (parts - 1, 0), (1, 0)} <= interrupted


def check_whole(folder: Path, expected: list[str]) -> None:
    scanned = scan_predictions(folder, "spam")
    assert scanned.unreadable == ()
    assert sorted(scanned.table["prediction_id"].to_pylist()) == sorted(expected)


@pytest.mark.slow
def test_readers_see_each_row_once_while_segments_come_and_go(tmp_path: Path) -> None:
    written, failed = 0, list[str]()
    ended = threading.Event()
    log = PredictionLog(tmp_path, owner="api")

    def read() -> None:
        while not ended.is_set():
            at_least = written
            scanned = scan_predictions(tmp_path, "spam")
            found = Counter(scanned.table["prediction_id"].to_pylist())
            missing = [i for i in range(at_least) if f"p{i}" not in found]
            if missing or scanned.unreadable or max(found.values(), default=1) > 1:
                failed.append(f"{missing} of {at_least} missing, {scanned.unreadable} unreadable")

    def merge() -> None:
        while not ended.is_set():
            compact(tmp_path)

    threads = [threading.Thread(target=work) for work in (read, read, merge)]
    for thread in threads:
        thread.start()
    for i in range(250):
        log.append(batch(i, at=TODAY))
        log.flush()
        written = i + 1
    ended.set()
    for thread in threads:
        thread.join()
    log.close()
    assert failed == []
    assert len(ids(tmp_path)) == 250
    compact(tmp_path)
    assert len(segments(tmp_path)) < 16


def test_two_compactors_at_once_lose_nothing(tmp_path: Path) -> None:
    for i in range(24):
        write(tmp_path, batch(i))
    compactors = [Compactor(tmp_path, settled_s=0) for _ in range(3)]
    days = list(tmp_path.glob("harm=*/day=*"))
    # As on a file system that keeps no locks between hosts.
    threads = [threading.Thread(target=lambda one=one: [one._compact(day) for day in days]) for one in compactors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(tmp_path)) == sorted(f"p{i}" for i in range(24))
    age(tmp_path, HOURS)
    compact(tmp_path)
    assert sorted(ids(tmp_path)) == sorted(f"p{i}" for i in range(24))
    assert len(segments(tmp_path)) == 1
