"""Feast's own command line and SDK on the home that the settings name."""

from __future__ import annotations

import functools
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from features.declared.builtin import ACCOUNT, LAYOUTS, PARENT, ROLES
from features.evaluate.columns import FEATURE_SERVICE, evaluate
from features.feast.repo_settings import project_settings
from features.feast.store import NAMED_SERVICE, feast_name, known_warnings_ignored, open_store, repo_config
from features.materialize import Materializer
from features.offline.segments import view_folder
from features.online.codec import bytes_value, entity_key, row_of
from features.online.reader import open_reader
from features.online.stores import open_online_store
from features.online.writer import OnlineWriter
from features.rows import pack
from leads import clock
from leads.db import event_log
from leads.db.engine import open_engine
from leads.processes import QUIET, start, stop
from leads.settings import Settings, load_settings
from tests.support.features.history import CONTRACT, START, SUBJECTS, history
from tests.support.paths import REPOSITORY

FEAST = (str(Path(sys.executable).with_name("feast")), "-c", "features/repo")
# Feast's commands, one after the other in one process: each start of Feast takes seconds.
IN_TURN = """
import contextlib, io, json, sys
from features.feast.store import import_feast
import_feast()
from feast.cli.cli import cli
said = []
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        cli.main(["-c", "features/repo", *command], standalone_mode=False)
    said.append(out.getvalue())
print(json.dumps(said))
"""


def environment(home: Path | str) -> dict[str, str]:
    return {**os.environ, **QUIET, "LEADS_HOME": str(home), "LEADS_CORPORA": "none"}


def run(*command: str, home: Path | str) -> str:
    """Run in the project's folder; returns stdout."""
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment(home), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def feast(*commands: list[str], home: Path) -> list[str]:
    """What each of Feast's commands says."""
    said: list[str] = json.loads(run(sys.executable, "-c", IN_TURN, json.dumps(commands), home=home).splitlines()[-1])
    return said


VIEWS = {*(layout.view for layout in LAYOUTS), "item_links", "account_links", "named"}


@dataclass(frozen=True)
class Home:
    """A home on which Feast's command line was the first to work: what `apply` said, and the newest event's time."""

    settings: Settings
    applied: str
    head: int


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    settings = load_settings(home=tmp_path_factory.mktemp("feast") / "home", corpora=Path())
    applied = run(*FEAST, "apply", home=settings.root)
    engine = open_engine(settings)
    # Feast materializes what is newer than a year.
    shift = clock.now() // clock.HOUR * clock.HOUR - 10 * clock.DAY - START
    events = [
        msgspec.structs.replace(one, occurred_at=one.occurred_at + shift, visible_at=one.visible_at + shift)
        for one in history(2_000)
    ]
    with engine.begin() as connection:
        head = event_log.append_recorded(connection, "test", events).head.visible_at
    Materializer(settings, engine).run_to_head()
    engine.dispose()
    return Home(settings, applied, head)


def test_apply_and_the_lists_show_what_is_declared(home: Home) -> None:
    for layout in LAYOUTS:
        assert f"Deploying infrastructure for {layout.view}\n" in home.applied
    views, item, entities, services = feast(
        ["feature-views", "list"],
        ["feature-views", "describe", "item"],
        ["entities", "list"],
        ["feature-services", "list"],
        home=home.settings.root,
    )
    declared = {layout.view for layout in LAYOUTS}
    assert first_column(views) == VIEWS
    assert str(view_folder(home.settings.features_dir / "segments", "item")) in item
    assert first_column(entities) >= declared
    assert first_column(services) == {FEATURE_SERVICE, NAMED_SERVICE}


def first_column(listed: str) -> set[str]:
    """The names in one of Feast's tables."""
    return {line.split()[0] for line in listed.splitlines()[1:]}


def test_materialize_brings_back_what_is_gone_and_leaves_what_is_newer(home: Home) -> None:
    """It reads the segments, whose newest row may be behind the one that is online."""
    settings = home.settings
    gone, kept = "a0", "a1"
    store = open_online_store(settings)
    before = store.get([row_of(ACCOUNT, [gone, kept]), row_of(PARENT, ["track:t1"])])
    assert all(value is not None for (values,) in before for value in values)
    (newer,) = pack(ACCOUNT, np.arange(ACCOUNT.width, dtype=np.float32)[None], [("phone",)])
    OnlineWriter(settings).write_view(ACCOUNT, [(kept, newer, home.head + clock.MINUTE)])
    expected = bytes_value(newer)
    with sqlite3.connect(settings.features_dir / "online.db") as connection:
        for layout, key in ((ACCOUNT, gone), (PARENT, "track:t1")):
            raw = entity_key(layout.join_key, key)
            removed = connection.execute(f'DELETE FROM "leads_{layout.view}" WHERE entity_key = ?', (raw,))
            assert removed.rowcount == 1
    connection.close()
    assert store.get([row_of(ACCOUNT, [gone])])[0][0][0] is None
    feast(["materialize-incremental", clock.to_text(clock.now())[:19]], home=settings.root)
    assert store.get([row_of(ACCOUNT, [gone, kept]), row_of(PARENT, ["track:t1"])]) == [
        [[before[0][0][0], expected]],
        before[1],
    ]
    store.close()


def test_the_sdk_names_the_features_that_serving_computes(home: Home) -> None:
    """All but the buckets': Feast joins one of a subject's two."""
    settings = home.settings
    reader = open_reader(settings)
    fetched = reader.fetch(SUBJECTS)
    reader.close()
    devices = device_keys(settings, [link.account_id for link in fetched.links])
    # Instants that differ from row to row, and some in the past of what is stored.
    as_of = home.head + np.arange(len(SUBJECTS), dtype=np.int64) * clock.HOUR // 7 - 2 * clock.HOUR
    rows = [
        {
            "subject_key": subject.key,
            "account_id": link.account_id or "",
            "parent_key": link.parent_key or "",
            "bucket_key": link.bucket_0 or "",
            "device_id": device,
            "as_of": int(at),
        }
        for subject, link, device, at in zip(SUBJECTS, fetched.links, devices, as_of, strict=True)
    ]
    with known_warnings_ignored():
        store = open_store(settings)
        found = store.get_online_features(features=store.get_feature_service(NAMED_SERVICE), entity_rows=rows).to_dict()
    through_feast = np.array([found[feast_name(name)] for name in CONTRACT.names], dtype=np.float32).T
    one_bucket = {
        role: np.full_like(one, np.nan) if role == "bucket_1" else one for role, one in fetched.packed.items()
    }
    expected = evaluate(CONTRACT, one_bucket, as_of, [None] * len(SUBJECTS)).matrix
    np.testing.assert_array_equal(through_feast, expected)
    assert all((fetched.row_at[:, i] > 0).any() for i in range(len(ROLES)))


def device_keys(settings: Settings, accounts: list[str | None]) -> list[str]:
    """The device that each account's row leads to, as a user of Feast's SDK finds it."""
    store = open_store(settings)
    rows = [{"account_id": account or ""} for account in accounts]
    found = store.get_online_features(features=["account_links:account_device"], entity_rows=rows).to_dict()
    return [device or "" for device in found["account_device"]]


@pytest.fixture
def ui(home: Home) -> Iterator[httpx.Client]:
    """`feast ui` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = (FEAST[0], "-c", str(REPOSITORY / FEAST[2]), "ui", "--host", "127.0.0.1", "--port", str(port))
    log = home.settings.root / "logs" / "ui.log"
    child = start(command, env=environment(home.settings.root), log=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                assert child.poll() is None, log.read_text()
                try:
                    client.get("/health")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield client
    finally:
        stop(child)


def test_the_ui_answers_with_the_registry(ui: httpx.Client) -> None:
    page = ui.get("/")
    assert (page.status_code, "<html" in page.text) == (200, True)
    projects: Any = ui.get("/projects-list.json").json()
    assert "leads" in {one["id"] for one in projects["projects"]}
    listed = ui.get("/api/v1/feature_views", params={"project": "leads"})
    assert listed.status_code == 200
    names = {one["spec"]["name"] for one in listed.json()["featureViews"]}
    assert names == VIEWS


def test_the_yaml_means_the_stores_of_the_settings(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from feast import FeatureStore

    open_here = functools.partial(FeatureStore, repo_path=str(REPOSITORY / "features" / "repo"))
    monkeypatch.setenv("LEADS_HOME", str(home.settings.root))
    store = open_here()
    assert {view.name for view in store.list_feature_views()} == {layout.view for layout in LAYOUTS}
    ours = repo_config(home.settings)
    assert store.config.online_store == ours.online_store
    for field in ("project", "provider", "entity_key_serialization_version", "offline_store"):
        assert getattr(store.config, field) == getattr(ours, field)
    monkeypatch.setenv("LEADS_ONLINE_STORE", "redis")
    monkeypatch.setenv("LEADS_REDIS_URL", "localhost:1234")
    online = open_here().config.online_store
    assert (type(online).__name__, online.address) == ("AddressedRedisOnlineStoreConfig", "localhost:1234")


def test_a_relative_home_is_meant_from_the_projects_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Feast's command line changes to features/repo, and Jupyter to notebooks, before the settings are read."""
    monkeypatch.chdir(tmp_path)
    assert project_settings().root == REPOSITORY / "var"
    monkeypatch.setenv("LEADS_HOME", "elsewhere")
    assert project_settings().root == REPOSITORY / "elsewhere"
    monkeypatch.setenv("LEADS_HOME", str(tmp_path))
    assert project_settings().root == tmp_path
