"""Shares of the rows with a worker each, and merging of segments under readers: neither changes a number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.materialize import Materializer
from features.offline.compaction import compacting
from features.offline.frames import Frame, point_in_time
from features.offline.segments import MERGED, Segments, view_folder
from features.partition import Partition
from leads import clock
from leads.db.engine import open_engine
from leads.errors import ConfigurationError
from leads.settings import Settings, load_settings
from serving.worker.run import chosen_partitions, run_once
from tests.support.features.history import CONTRACT, SUBJECTS, log_history, segment_rows, served

N = 4_000

pytestmark = pytest.mark.slow


class Whole:
    """A history folded by one worker: what the others are compared with."""

    def __init__(self, home: Path) -> None:
        self.settings = load_settings(home=home, corpora="")
        engine = open_engine(self.settings)
        self.head = log_history(engine, N)
        Materializer(self.settings, engine).run_to_head()
        engine.dispose()
        self.rows = segment_rows(self.settings)
        self.matrix, self.row_at = served(self.settings, self.head)
        self.frame = frame(self.settings, self.head)


def frame(settings: Settings, head: int) -> Frame:
    instants = np.linspace(head - 3 * clock.DAY, head, len(SUBJECTS)).astype(np.int64)
    return point_in_time(settings, CONTRACT, SUBJECTS, [None] * len(SUBJECTS), instants)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


def agrees(settings: Settings, whole: Whole) -> None:
    assert segment_rows(settings) == whole.rows
    matrix, row_at = served(settings, whole.head)
    np.testing.assert_array_equal(matrix, whole.matrix)
    np.testing.assert_array_equal(row_at, whole.row_at)
    found = frame(settings, whole.head)
    np.testing.assert_array_equal(found.matrix, whole.frame.matrix)
    np.testing.assert_array_equal(found.row_at, whole.frame.row_at)


def test_workers_of_two_partitions_make_what_one_makes(tmp_path: Path, whole: Whole) -> None:
    settings = load_settings(home=tmp_path, corpora="", partitions=2)
    engine = open_engine(settings)
    log_history(engine, N)
    engine.dispose()
    env = {**os.environ, "LEADS_HOME": str(tmp_path), "LEADS_CORPORA": "none", "LEADS_PARTITIONS": "2"}
    command = [sys.executable, "-P", "-m", "cli", "worker", "--once", "--quiet"]
    both = [subprocess.Popen([*command, "--partition", str(i)], env=env, stderr=subprocess.PIPE) for i in range(2)]
    ended = [(worker.communicate(timeout=120)[1], worker.returncode) for worker in both]
    assert [code for _, code in ended] == [0, 0], [errors.decode()[-2_000:] for errors, _ in ended]
    agrees(settings, whole)
    assert all(Segments(settings.features_dir / "segments", Partition(i, 2)).manifest().offset == N for i in range(2))


def test_one_worker_works_off_every_partition(tmp_path: Path, whole: Whole) -> None:
    settings = load_settings(home=tmp_path, corpora="", partitions=2)
    engine = open_engine(settings)
    log_history(engine, N)
    engine.dispose()
    assert run_once(settings, chosen_partitions(settings, None)) == (N, 0, 0, False)
    agrees(settings, whole)


def test_another_number_of_partitions_needs_a_rebuild(whole: Whole) -> None:
    segments = Segments(whole.settings.features_dir / "segments", Partition(0, 3))
    with pytest.raises(ConfigurationError, match=r"LEADS_PARTITIONS.*--rebuild"):
        segments.prepare()


def many_segments(settings: Settings) -> Materializer:
    engine = open_engine(settings)
    log_history(engine, N)
    materializer = Materializer(settings, engine, read=100)
    while materializer.step().events:
        materializer.flush()
    engine.dispose()
    return materializer


def files(settings: Settings) -> int:
    return len(list(view_folder(settings.features_dir / "segments", "account").glob("0of1-*.parquet")))


def test_merging_disturbs_no_reader_and_loses_nothing(tmp_path: Path, whole: Whole) -> None:
    settings = load_settings(home=tmp_path, corpora="")
    segments = many_segments(settings).segments
    before = files(settings)
    assert before >= N // 100 - 1
    while segments.compact():
        pass
    named = segments.manifest().segments["account"]
    assert len(named) <= before - (MERGED - 1) * (before // MERGED - 1)
    # Readers that listed the small ones still find them, and rows that are there twice count once.
    assert files(settings) > before
    agrees(settings, whole)
    Segments(settings.features_dir / "segments", grace_s=0.0).compact()
    assert files(settings) == len(named)
    agrees(settings, whole)


def test_merging_runs_in_the_background_of_a_writer(tmp_path: Path, whole: Whole) -> None:
    settings = load_settings(home=tmp_path, corpora="")
    engine = open_engine(settings)
    log_history(engine, N)
    materializer = Materializer(settings, engine, read=100)
    with compacting(lambda: materializer.segments, every_s=0.01):
        while materializer.step().events:
            materializer.flush()
    engine.dispose()
    assert len(materializer.segments.manifest().segments["account"]) < N // 100
    assert materializer.segments.manifest().retired
    agrees(settings, whole)
    assert Segments(settings.features_dir / "segments").prepare().offset == N
