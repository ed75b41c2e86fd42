"""kill -9 anywhere: segments, online rows and frames end equal to an undisturbed run's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.materialize import Materializer
from features.offline.frames import point_in_time
from leads import clock
from leads.db.engine import open_engine
from leads.settings import Settings, load_settings
from tests.support.features.history import CONTRACT, SUBJECTS, assert_served_alike, log_history, segment_rows
from tests.support.features.state_settings import state_settings
from tests.support.paths import REPOSITORY

TEST_KILLS, SOAK_KILLS = 20, 500
# Enough events that the kills of a round don't run out of them.
EVENTS_A_KILL = 500
KILLS_A_ROUND = 25

# The online store and the state store.
STORES = [("sqlite", "sqlite"), ("redis", "redis"), ("sqlite", "postgresql")]

pytestmark = pytest.mark.slow


def killed_and_undisturbed_agree(settings: Settings, seed: int, kills: int) -> int:
    """Fold the same history with and without kills, and compare everything; returns how many kills there were."""
    n = kills * EVENTS_A_KILL
    undisturbed = load_settings(home=settings.root.with_name("undisturbed"), corpora="")
    engine = open_engine(undisturbed)
    head = log_history(engine, n)
    Materializer(undisturbed, engine).run_to_head()
    engine.dispose()
    engine = open_engine(settings)
    log_history(engine, n)
    engine.dispose()

    secrets = {"LEADS_REDIS_URL": settings.redis_url, "LEADS_DATABASE_URL": settings.database_url}
    env = {
        **os.environ,
        "LEADS_HOME": str(settings.root),
        "LEADS_CORPORA": "none",
        "LEADS_ONLINE_STORE": settings.online_store,
        "LEADS_STATE_STORE": settings.state_store,
        **{name: value.get_secret_value() for name, value in secrets.items() if value},
    }
    child = subprocess.run(
        [sys.executable, "-m", "tests.support.features.kill_child", str(seed), str(kills)],
        env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-3_000:]
    done = json.loads(child.stdout.splitlines()[-1])
    assert (done["last"], done["signal"]) == (0, 0)

    assert segment_rows(settings) == segment_rows(undisturbed)
    assert_served_alike(settings, undisturbed, head)
    instants = np.linspace(head - 2 * clock.DAY, head, len(SUBJECTS)).astype(np.int64)
    frames = [
        point_in_time(one, CONTRACT, SUBJECTS, [None] * len(SUBJECTS), instants) for one in (settings, undisturbed)
    ]
    np.testing.assert_array_equal(frames[0].matrix, frames[1].matrix)
    np.testing.assert_array_equal(frames[0].row_at, frames[1].row_at)
    assert np.isfinite(frames[1].matrix).any(axis=0).sum() > len(CONTRACT.columns) // 2
    return int(done["killed"])


@pytest.mark.parametrize(("online", "state"), STORES)
def test_killed_anywhere_nothing_is_lost_or_doubled(
    online: str, state: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = state_settings(tmp_path / "killed", state, request, online_store=online)
    assert killed_and_undisturbed_agree(settings, seed=1, kills=TEST_KILLS // 2) == TEST_KILLS // 2


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 2 + SOAK_KILLS // KILLS_A_ROUND))
def test_killed_at_many_moments(seed: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    online, state = STORES[seed % len(STORES)]
    settings = state_settings(tmp_path / "killed", state, request, online_store=online)
    assert killed_and_undisturbed_agree(settings, seed=seed, kills=KILLS_A_ROUND) == KILLS_A_ROUND
