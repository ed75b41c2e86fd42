"""The follower as a separate process, with a real MLflow registry."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.processes import QUIET, start, stop
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import RunRecord
from models.write import write_version
from serving.versions.follower import Follower
from serving.versions.published import PublishedVersions
from serving.versions.published_state import HarmState, read_state
from tests.support.paths import REPOSITORY
from tests.support.serving.fake_registry import tamper
from tests.support.serving.served import api_workers, served
from tests.support.serving.world import POLICIES, all_answer, make_parts

pytestmark = [pytest.mark.slow]
COMMAND = (sys.executable, "-m", "serving.versions.follower")


def register(settings: Settings, folder: Path, *, seed: int) -> str:
    """A new version, named champion."""
    made = write_version(folder / f"made-{seed}", make_parts("stream_manipulation", seed=seed))
    registry = MlflowRegistry(settings)
    version = registry.register("stream_manipulation", made, RunRecord(fingerprint=f"f{seed}"))
    registry.set_alias("stream_manipulation", "champion", version)
    return version


def published(settings: Settings) -> HarmState:
    return read_state(settings.published_dir).harms.get("stream_manipulation", HarmState())


def wait_for(settings: Settings, what: Callable[[HarmState], bool], seconds: float) -> float:
    began = time.monotonic()
    while not what(published(settings)):
        assert time.monotonic() - began < seconds, published(settings)
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
def follower(settings: Settings) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []

    def run() -> subprocess.Popen[bytes]:
        env = {"LEADS_HOME": str(settings.root), "LEADS_ALIAS_POLL_S": "0.3", "PYTHONPATH": str(REPOSITORY)}
        running.append(start(COMMAND, env=env, log=settings.root / "follower.log"))
        return running[-1]

    yield run
    for child in running:
        stop(child)


def test_a_moved_alias_reaches_the_workers_and_a_bad_version_does_not(
    settings: Settings, engine: Engine, tmp_path: Path, follower: Callable[[], subprocess.Popen[bytes]]
) -> None:
    assert register(settings, tmp_path, seed=1) == "1"
    first, second = follower(), follower()
    wait_for(settings, lambda state: state.champion == "1", 90)
    worker = PublishedVersions(settings, POLICIES, engine)
    worker.refresh()
    assert all_answer(worker)

    register(settings, tmp_path, seed=2)
    assert wait_for(settings, lambda state: state.champion == "2", 10) < 10
    worker.refresh()
    assert worker.lineup().champions["stream_manipulation"].version == "2"

    # The bytes of a registered version are changed where they are kept, before anybody fetched it.
    made = write_version(tmp_path / "made-3", make_parts("stream_manipulation", seed=3))
    registry = MlflowRegistry(settings)
    version = registry.register("stream_manipulation", made, RunRecord(fingerprint="f3"))
    boosters = sorted(settings.artifacts_dir.rglob("booster.ubj"), key=lambda path: path.stat().st_mtime_ns)
    raw = bytearray(boosters[-1].read_bytes())
    raw[-9] ^= 1
    boosters[-1].write_bytes(raw)
    registry.set_alias("stream_manipulation", "champion", version)
    wait_for(settings, lambda state: version in state.refused, 10)
    assert published(settings).champion == "2"
    worker.refresh()
    assert worker.lineup().champions["stream_manipulation"].version == "2"

    # The one that follows dies; the one that waited takes over.
    follows, waits = (first, second) if _holds_lock(first) else (second, first)
    follows.kill()
    follows.wait()
    register(settings, tmp_path, seed=4)
    wait_for(settings, lambda state: state.champion == "4", 60)
    waits.send_signal(signal.SIGTERM)
    assert waits.wait(20) == 0


def test_the_follower_exits_with_its_parent(settings: Settings) -> None:
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({list(COMMAND)!r})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    env = {**os.environ, **QUIET, "LEADS_HOME": str(settings.root)}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until(lambda: (settings.published_dir / ".follower.lock").exists(), 60)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not _alive(pid), 20)


def wait_until(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _holds_lock(child: subprocess.Popen[bytes]) -> bool:
    """Whether this process has the lock by which only one follows."""
    held = Path("/proc/locks").read_text()
    return f" {child.pid} " in held


def test_a_host_starts_from_what_is_published_while_mlflow_is_gone(
    settings: Settings, engine: Engine, tmp_path: Path, follower: Callable[[], subprocess.Popen[bytes]]
) -> None:
    register(settings, tmp_path, seed=1)
    assert Follower(settings, POLICIES, MlflowRegistry(settings)).step().harms["stream_manipulation"].champion == "1"
    before = read_state(settings.published_dir)
    (settings.root / "mlflow.db").unlink()
    shutil.rmtree(settings.artifacts_dir)
    running = follower()
    worker = PublishedVersions(settings, POLICIES, engine)
    worker.refresh()
    assert all_answer(worker)
    log = settings.root / "follower.log"
    wait_until(lambda: "keeping the published versions" in log.read_text(), 60)
    assert running.poll() is None
    assert read_state(settings.published_dir) == before


def test_an_api_process_restarted_on_a_damaged_folder_serves_again_within_seconds(
    settings: Settings, engine: Engine, tmp_path: Path, follower: Callable[[], subprocess.Popen[bytes]]
) -> None:
    """Nobody restarts the follower."""
    register(settings, tmp_path, seed=1)
    running = follower()
    wait_for(settings, lambda state: state.champion == "1", 90)
    folder = settings.published_dir / "stream_manipulation" / "1"
    key = keys.create(engine, "x", ["admin"]).text
    with served(settings, key, ["serving.service:LeadServing"]) as client:
        # It must not heal the folder before the process has met it.
        running.send_signal(signal.SIGSTOP)
        tamper(folder)
        assert health(client) == {"status": "ready", "online_store": "ok"}
        (worker,) = api_workers(client)
        worker.kill()
        wait_until(lambda: health(client).get("versions") == "damaged", 60)
        assert health(client)["status"] == "not_ready"
        running.send_signal(signal.SIGCONT)
        began = time.monotonic()
        wait_until(lambda: health(client) == {"status": "ready", "online_store": "ok"}, 60)
        assert time.monotonic() - began < 15
        (model,) = (one for one in client.get("/v1/models").json()["models"] if one["harm"] == "stream_manipulation")
        assert (model["serving"], model["refused"]) == ("1", {})
    assert running.poll() is None


def health(client: httpx.Client) -> dict[str, str]:
    try:
        answer: dict[str, str] = client.get("/readyz", headers={"connection": "close"}).json()
    except (httpx.TransportError, ValueError):
        return {}
    return answer
