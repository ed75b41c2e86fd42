"""A process that loads versions goes on answering: the thread that loads never keeps Python's lock for long."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from benchmarks.lock_time import lock_time
from leads.settings import Settings
from models.version import load
from models.write import write_version
from serving.versions.proofs import write_proof
from serving.versions.published import PublishedVersions
from serving.versions.verification import verify
from tests.support.serving.large_versions import large_parts
from tests.support.serving.world import POLICIES, all_answer, point_to

pytestmark = pytest.mark.slow

_MOST_S = 0.002


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("large") / "version", large_parts("spam")).folder


def test_a_thread_that_never_lets_go_is_found() -> None:
    numbers = np.random.default_rng(1).random(300_000).tolist()

    def finds() -> bool:
        found = lock_time(lambda: sorted(numbers))
        return found.longest_s > found.total_s / 2

    # On a busy machine, most runs find nothing: the thread that looks waits for a processor too.
    assert any(finds() for _ in range(200))
    paused = lock_time(lambda: [time.sleep(0.001) for _ in range(20)])
    assert paused.longest_s < 0.002


def test_loading_and_freeing_a_large_version_never_keeps_the_lock_for_long(
    settings: Settings, engine: Engine, written: Path
) -> None:
    for version in ("1", "2", "3", "4"):
        folder = settings.published_dir / "spam" / version
        shutil.copytree(written, folder)
        (folder / "version.txt").write_text(version)
        write_proof(folder, verify(load, folder, "spam", version)[1])
    seconds = [0.0]
    published = PublishedVersions(settings, POLICIES, engine, timer=lambda: seconds[0])
    point_to(settings, "spam", "1")
    published.refresh()
    numbers = iter(["2", "3", "4", "1", "2", "3", "4"])

    def move() -> None:
        """Load the next champion, and free the version before the previous one."""
        point_to(settings, "spam", next(numbers))
        seconds[0] += 60.0
        published.refresh()

    found = lock_time(move, runs=7)
    assert all_answer(published)
    assert published.status()[0].loaded == {"3", "4"}
    assert found.longest_s <= _MOST_S
