"""A run that is killed at any moment leaves what the next run completes, and the end is that of an undisturbed run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db.engine import open_engine
from leads.settings import Settings, load_settings
from monitoring.running.run import run
from tests.support.monitoring.watch_world import JOBS, START, predict, promote, stored, values, world_of
from tests.support.paths import REPOSITORY

_FIRST, _SECOND = START + round(1.2 * clock.HOUR), START + round(27.2 * clock.HOUR)
_MOMENTS = 12


def killed_runs(settings: Settings, now: int, first: int) -> int:
    command = [sys.executable, "-P", "-m", "tests.support.monitoring.kill_child"]
    arguments = [str(settings.root), str(now), str(first), str(_MOMENTS)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, *arguments], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
# The first moments of a run are those of summaries, later ones those of windows.
@pytest.mark.parametrize("first", [0, 10])
def test_killed_runs_leave_nothing_out_and_count_nothing_twice(
    settings: Settings, engine: Engine, tmp_path: Path, first: int
) -> None:
    promote(engine, "1", START)
    for hour in (0, 0.4):
        predict(settings, START + round((hour + 0.3) * clock.HOUR), 3)
    run(world_of(settings, engine, _FIRST), only=JOBS, then=())
    for hour in range(1, 27):
        predict(settings, START + round((hour + 0.5) * clock.HOUR), hour % 4 + 1)
        predict(settings, START + round((hour + 0.6) * clock.HOUR), 1, harm="sexism", version="2")
    # Late for a window that is measured already.
    predict(settings, START + round(0.5 * clock.HOUR), 2)
    undisturbed = load_settings(home=tmp_path / "undisturbed", corpora=Path())
    engine.dispose()
    shutil.copytree(settings.root, undisturbed.root)

    assert killed_runs(settings, _SECOND, first) == _MOMENTS
    run(world_of(settings, engine, _SECOND), only=JOBS, then=())
    alone = open_engine(undisturbed)
    try:
        run(world_of(undisturbed, alone, _SECOND), only=JOBS, then=())
        assert stored(engine) == stored(alone)
        assert values(engine) == values(alone)
        assert values(engine)[1] == 8.0
    finally:
        alone.dispose()
