"""The drill: back up a platform while it runs, restore it elsewhere, and work on with it there."""

from __future__ import annotations

import csv
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from leads.db import keys
from leads.db.engine import open_engine
from leads.db.tables import events
from leads.errors import LeadsError
from leads.settings import Settings, load_settings
from models.registry.mlflow_registry import MlflowRegistry
from models.version import load
from tests.support.backups import listing
from tests.support.serving.world import Http, make_runtime, make_stack

BAD = ("subscribe", "free", "click", "winner", "channel", "cash", "visit", "offer")
FINE = ("lovely", "song", "chorus", "summer", "guitar", "voice", "album", "again", "night", "drums", "live", "sings")
TEXTS = [f"{BAD[i]} {BAD[i - 1]}" for i in range(4)] + [f"{FINE[i]} {FINE[i - 1]}" for i in range(4)]
# Characters that have a meaning in URLs, in ConfigParser's files and in shells.
ODD = "100% new #1? ü & co"
RATE = 200


def run(*words: str) -> str:
    result: Result = CliRunner().invoke(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit | LeadsError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return " ".join(result.output.split())


def train(folder: Path, seed: int) -> None:
    """Train a version from labels of one's own."""
    random, path = np.random.default_rng(seed), folder / f"labels-{seed}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("comment", "is_bad"))
        for i in range(300):
            bad = random.random() < 0.4
            words = [random.choice(BAD if bad and random.random() < 0.5 else FINE) for _ in range(8)]
            writer.writerow((" ".join([*words, str(i), str(seed)]), "yes" if bad else "no"))
    run("train", "--csv", str(path), "--harm", "spam", "--text", "comment", "--label", "is_bad", "-q")


def scores(settings: Settings, into: Path) -> dict[str, list[float]]:
    """What each version answers."""
    registry, found = MlflowRegistry(settings), {}
    for registered in registry.versions("spam"):
        version = load(registry.fetch("spam", registered.version, into))
        features = np.full((len(TEXTS), len(version.contract.columns)), np.nan, dtype=np.float32)
        found[registered.version] = version.score(features, list(TEXTS)).score.tolist()
    return found


@contextmanager
def events_coming_in(settings: Settings, portal: BlockingPortal, acknowledged: list[str]) -> Iterator[None]:
    """Send events over HTTP, and note the ids that were accepted."""
    engine = open_engine(settings)
    runtime = make_runtime(settings, engine)
    client = Http(make_stack(runtime), portal, headers={"x-api-key": keys.create(engine, "x", ["events:write"]).text})
    stopped = threading.Event()

    def send() -> None:
        for batch in itertools.count():
            if stopped.wait(20 / RATE):
                return
            ids = [f"e{batch}-{i}" for i in range(20)]
            items = [{"id": one, "typeId": "comment", "eventId": one, "data": {"text": "a song"}} for one in ids]
            assert client.post("/v1/items", json={"items": items}).status_code == 202
            acknowledged.extend(ids)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stopped.set()
        sender.join()
        runtime.published.stop()
        runtime.predictions.close()
        engine.dispose()


def wait_for_more(acknowledged: list[str], more: int = 100) -> None:
    target, deadline = len(acknowledged) + more, time.monotonic() + 60
    while len(acknowledged) < target:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ids_in(settings: Settings) -> list[str]:
    engine = open_engine(settings)
    try:
        with engine.connect() as connection:
            return list(connection.execute(sa.select(events.c.id).order_by(events.c.offset)).scalars())
    finally:
        engine.dispose()


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_a_platform_is_restored_elsewhere_and_works_on(
    database: str,
    tmp_path: Path,
    portal: BlockingPortal,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("LEADS_CORPORA", "none")
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "old"))
    old = load_settings()
    for seed in (1, 2):
        train(tmp_path, seed)
    run("models", "promote", "spam", "1", "--override", "--why", "drill")
    run("models", "promote", "spam", "2", "--override", "--why", "drill")
    before = scores(old, tmp_path / "versions-before")

    backup, acknowledged = tmp_path / "backup.tar.zst", list[str]()
    with events_coming_in(old, portal, acknowledged):
        wait_for_more(acknowledged)
        earlier = list(acknowledged)
        run("backup", str(backup), "-q")
        wait_for_more(acknowledged)
    untouched = listing(tmp_path / "old")

    monkeypatch.setenv("LEADS_HOME", str(tmp_path / ODD / "home"))
    if database == "postgresql":
        monkeypatch.setenv("LEADS_DATABASE_URL", request.getfixturevalue("postgresql_url"))
    run("restore", "--check", str(backup))
    run("restore", str(backup), "-q")
    new = load_settings()
    restored = ids_in(new)
    assert set(earlier) <= set(restored)
    # What came in while the backup was taken is there up to one event, and nothing after it.
    assert restored == ids_in(old)[: len(restored)]
    assert len(restored) < len(acknowledged)

    assert scores(new, tmp_path / "versions-after") == before
    assert MlflowRegistry(new).aliases("spam")["champion"] == "2"
    run("worker", "--once")
    assert "v1 is now champion" in run("models", "rollback", "spam", "--why", "drill")
    train(tmp_path, 3)
    assert set(scores(new, tmp_path / "versions-after")) == {"1", "2", "3"}
    assert "leads serve" in run("status")

    assert listing(tmp_path / "old") == untouched
    assert list((tmp_path / "cwd").iterdir()) == []
    assert [path.name for path in (tmp_path / ODD).iterdir()] == ["home"]
    made = {"versions-before", "versions-after", "labels-1.csv", "labels-2.csv", "labels-3.csv", "backup.tar.zst"}
    assert {path.name for path in tmp_path.iterdir()} == {"old", "cwd", ODD, *made}
