"""Serving and training see the same numbers: after lateness, ties, silence and a kill -9, on both online stores."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from features.materialize import Materializer
from features.offline.frames import point_in_time
from leads import clock
from leads.db.engine import open_engine
from leads.events import Subject
from leads.settings import Settings, load_settings
from tests.support.features.history import CONTRACT, SUBJECTS, assert_served_alike, log_history, segment_rows, served

N = 10_000
# Small steps and eager flushes: many moments at which a kill hurts.
CHILD = """
import sys
from features.materialize import Materializer
from leads.settings import load_settings
from leads.db.engine import open_engine
settings = load_settings(online_flush_s=0.001, segment_flush_s=0.02)
materializer = Materializer(settings, open_engine(settings), read=200)
while materializer.step().events:
    materializer.save()
    print(materializer.offset, flush=True)
materializer.flush()
print("done", flush=True)
"""


@pytest.fixture(params=["sqlite", "redis"])
def online(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings for an online store, as environment variables."""
    if request.param == "sqlite":
        yield {}
    else:
        address = request.getfixturevalue("redis_address")
        yield {"LEADS_ONLINE_STORE": "redis", "LEADS_REDIS_URL": address}


def make_settings(home: Path, online: dict[str, str]) -> Settings:
    return load_settings(
        home=home,
        corpora="",
        online_store=online.get("LEADS_ONLINE_STORE", "sqlite"),
        redis_url=online.get("LEADS_REDIS_URL"),
    )


def run_and_kill(settings: Settings, online: dict[str, str], kill_at: int | None) -> bool:
    """Materialize in a child process; kill -9 it once it reports `kill_at`. True when it finished."""
    env = {**os.environ, **online, "LEADS_HOME": str(settings.root), "LEADS_CORPORA": "none"}
    child = subprocess.Popen([sys.executable, "-c", CHILD], env=env, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            if line.strip() == "done":
                return child.wait() == 0
            if kill_at is not None and int(line) >= kill_at:
                break
    child.send_signal(signal.SIGKILL)
    child.wait()
    return False


@pytest.mark.slow
def test_a_killed_materializer_goes_on_as_if_nothing_happened(tmp_path: Path, online: dict[str, str]) -> None:
    undisturbed = make_settings(tmp_path / "undisturbed", {})
    engine = open_engine(undisturbed)
    head = log_history(engine, N)
    materializer = Materializer(undisturbed, engine)
    materializer.run_to_head()
    engine.dispose()

    killed = make_settings(tmp_path / "killed", online)
    engine = open_engine(killed)
    log_history(engine, N)
    engine.dispose()
    rng = random.Random(11)
    for kill_at in sorted(rng.sample(range(200, N, 200), 3)):
        assert not run_and_kill(killed, online, kill_at)
    assert run_and_kill(killed, online, None)

    assert segment_rows(killed) == segment_rows(undisturbed)
    assert_served_alike(killed, undisturbed, head)


@pytest.mark.slow
def test_served_vectors_equal_point_in_time_ones(tmp_path: Path, online: dict[str, str]) -> None:
    settings = make_settings(tmp_path, online)
    engine = open_engine(settings)
    log_history(engine, N)
    materializer = Materializer(settings, engine, read=2_500)
    n = len(SUBJECTS)
    seen = 0
    for _ in range(4):
        events = materializer.step().events
        materializer.flush()
        for as_of in (events[-1].visible_at, events[-1].visible_at + 30 * clock.HOUR):
            matrix, row_at = served(settings, as_of)
            frame = point_in_time(settings, CONTRACT, SUBJECTS, [None] * n, np.full(n, as_of))
            np.testing.assert_array_equal(frame.matrix, matrix)
            np.testing.assert_array_equal(frame.row_at, row_at)
        seen += int((row_at > 0).sum())
    engine.dispose()
    assert seen > n


@pytest.mark.slow
def test_a_silent_account_decays_the_same_in_serving_and_training(tmp_path: Path, online: dict[str, str]) -> None:
    settings = make_settings(tmp_path, online)
    engine = open_engine(settings)
    head = log_history(engine, 2_000)
    Materializer(settings, engine).run_to_head()
    engine.dispose()
    silent = [Subject("account", f"a{i}") for i in range(300, 400)]
    column = CONTRACT.names.index("account.plays_7d")
    totals = []
    for days in (0, 4, 8):
        as_of = head + days * clock.DAY
        frame = point_in_time(settings, CONTRACT, silent, [None] * 100, np.full(100, as_of))
        matrix = served(settings, as_of)[0][-100:]
        np.testing.assert_array_equal(frame.matrix, matrix)
        totals.append(float(np.nansum(matrix[:, column])))
    assert totals[0] > 0
    assert totals[-1] == 0


def test_a_layout_of_another_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    from features.offline.segments import Segments
    from leads.errors import ConfigurationError

    segments = Segments(tmp_path)
    (tmp_path / "manifest-0of1.json").write_text('{"offset": 5, "layout": "older", "segments": {}}')
    with pytest.raises(ConfigurationError, match="--rebuild"):
        segments.prepare()
