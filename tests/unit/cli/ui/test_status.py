"""`leads status`: what is kept where, each harm's queue, and what to do next, also while the service runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cli.checks import places
from cli.checks.processes import check_restart
from cli.ui.status import show_status
from cli.ui.terminal import next_steps
from features.declared.builtin import BUILTIN
from features.fold.fold import empty_batch
from features.offline.segments import Segments
from leads import clock
from leads.db import cursors, event_log
from leads.db.engine import migrate, open_engine
from leads.events import Event, ItemCreated, SubjectRef
from leads.files import is_locked, only_one
from leads.platform.declaration import load_platform
from leads.policies import load_policies
from leads.settings import Settings, load_settings
from serving.versions.published_state import LOCK_FILE, HarmState, PublishedState, write_state
from tests.support.serving.queue_world import POLICIES, QueueWorld


def test_a_service_that_read_other_files_needs_a_restart(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(settings)
    policies, platform = load_policies(settings.policies), load_platform(settings.platform)
    now, digests = clock.now(), (policies.digest, platform.digest)
    with only_one(settings.published_dir / LOCK_FILE, what="following the registry"):
        for state, changed in (
            (PublishedState(now, {}, *digests), ()),
            (PublishedState(now, {}, "another", platform.digest), ("policies.yaml",)),
            (PublishedState(now, {}, policies.digest, "another"), ("platform.yaml",)),
            (PublishedState(now, {}, "another", "another"), ("policies.yaml", "platform.yaml")),
            # A state of an earlier release, and one of a service that can't be asked.
            (PublishedState(now, {}), None),
            (PublishedState(now - clock.HOUR, {}, "another", "another"), None),
        ):
            write_state(settings.published_dir, state)
            show_status(settings, policies)
            shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
            assert ("restart: Run: leads restart" in shown) is bool(changed)
            found = check_restart(settings)
            assert [one.state for one in found] == ([] if changed is None else ["warning" if changed else "ok"])
            assert all(name in found[0].detail for name in changed or ())
    write_state(settings.published_dir, PublishedState(now, {}, "another", "another"))
    assert check_restart(settings) == []


def test_features_that_are_not_applied_are_the_next_step(
    settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    migrate(settings)
    path = tmp_path / "platform.yaml"
    text = settings.platform.read_text(encoding="utf-8")
    path.write_text(f"{text}\nfeatures:\n  account.follows_7d: {{count: follow, window: 7d, meaning: follows}}\n")
    own = settings.model_copy(update={"platform": path})
    show_status(own, POLICIES)
    # Without events, loading some comes first.
    assert "leads features apply" not in capsys.readouterr().out
    engine = open_engine(settings)
    with engine.begin() as connection:
        comment = ItemCreated(SubjectRef("comment", "c1"), "a1", text="x")
        event_log.append(connection, "test", [Event("e1", clock.now(), comment)])
    engine.dispose()
    show_status(settings, POLICIES)
    assert "leads features apply" not in capsys.readouterr().out
    show_status(own, POLICIES)
    following = capsys.readouterr().out.partition("Next:")[2].split("\n")
    assert " ".join(following[1].split()) == "leads features apply bring 1 changed feature of platform.yaml online"


def test_damaged_versions_are_shown_with_the_reason(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(settings)
    why = "booster.ubj differs from the file that was registered. Fetching it again failed: MLflow doesn't answer."
    state = HarmState("3", {}, {"champion": "3"}, damaged={"3": why})
    write_state(settings.published_dir, PublishedState(clock.now(), {"spam": state}))
    show_status(settings, load_policies(settings.policies))
    assert f"damaged spam v3: {why}" in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.slow
def test_stores_and_partitions_are_named(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(settings)
    redis = load_settings(
        home=settings.home,
        corpora="none",
        online_store="redis",
        state_store="redis",
        redis_url="127.0.0.1:1,db=2,password=hunter2",
        mlflow_uri="http://leads:hunter2@127.0.0.1:1/base?token=hunter2",
        partitions=4,
    )
    for chosen in (settings, redis):
        show_status(chosen, POLICIES)
    out = " ".join(capsys.readouterr().out.split())
    for shown in (
        "online store ok SQLite, in the home",
        "state store ok SQLite, in the home",
        "mlflow ok SQLite, in the home",
        "partitions 1",
        "online store failed Redis at 127.0.0.1:1, database 2 did not respond (ConnectionError)",
        "state store failed Redis at 127.0.0.1:1, database 2 did not respond (ConnectionError)",
        "mlflow failed http://127.0.0.1:1/base can't be reached",
        "partitions 4",
    ):
        assert shown in out
    assert "hunter2" not in out


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://mlflow:5000", "http://mlflow:5000"),
        ("http://user:p@ss@mlflow:5000/", "http://mlflow:5000/"),
        ("http://user:secret/1@mlflow:5000", "http:…"),
        ("http://user:1/secret@mlflow:5000", "http:…"),
        ("postgresql+psycopg://mlflow:secret@[::1]:5432/mlflow", "postgresql+psycopg://[::1]:5432/mlflow"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("databricks", "databricks"),
    ],
)
def test_no_password_of_an_mlflow_address_is_shown(uri: str, shown: str) -> None:
    settings = load_settings(mlflow_uri=uri, corpora="none")
    assert places.mlflow(settings) == shown
    pages = "/#/experiments?workflowType=machine_learning" if shown.startswith("http://mlflow") else ""
    assert places.mlflow_pages(settings) == (shown.rstrip("/") if pages else shown) + pages


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("localhost", "Redis at localhost:6379"),
        ("unix_socket_path=/run/redis.sock", "Redis at /run/redis.sock"),
        ("redis://user:secret@redis:6379", "Redis at redis:6379"),
        ("rediss://user:secret@redis/2", "Redis at redis:6379, database 2"),
        ("redis:6379,username=user,password=secret", "Redis at redis:6379"),
        ("redis+sentinel://user:secret@a,b:1/main", "Redis at a:26379, b:1 (Sentinel, main)"),
        ("redis://user:secret@[::1]", "Redis at [::1]:6379"),
        (None, "LEADS_STATE_STORE is redis, but LEADS_REDIS_URL is not set."),
    ],
)
def test_no_password_of_a_redis_address_is_shown(address: str | None, shown: str) -> None:
    assert places.state_store(load_settings(state_store="redis", redis_url=address, corpora="none")) == shown


def test_each_harm_has_its_queue_and_long_waits_are_in_days(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(settings)
    engine = open_engine(settings)
    world = QueueWorld(engine)
    for harm, hours in (("spam", 15_920), ("sexism", 47.5)):
        world.now = clock.now() - round(hours * clock.HOUR)
        world.offer("c1", harm=harm)
        world.offer("c2", harm=harm)
    engine.dispose()
    show_status(settings, POLICIES)
    out = " ".join(capsys.readouterr().out.split())
    assert "leads, spam 2 open; the oldest open one has waited 663 d" in out
    assert "leads, sexism 2 open; the oldest open one has waited 47 h" in out


def test_while_the_service_runs_nobody_is_told_to_start_it(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(settings)
    write_state(settings.published_dir, PublishedState(clock.now(), {"spam": HarmState(champion="1")}))
    show_status(settings, POLICIES)
    assert "leads serve  " in capsys.readouterr().out
    lock = settings.published_dir / LOCK_FILE
    with only_one(lock, what="following the registry"):
        show_status(settings, POLICIES)
        out = capsys.readouterr().out
        assert "leads serve is running in this home." in out
        assert "leads serve  " not in out
        assert "leads keys create NAME" in out
        next_steps(("leads serve", "start it"), ("leads queue", "show it"), settings=settings)
        next_steps(("leads serve", "start it"), settings=settings)
        assert capsys.readouterr().out.split() == ["Next:", "leads", "queue", "show", "it"]
    assert not is_locked(lock)


def test_scores_ahead_of_the_segments_are_explained(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(settings)
    engine = open_engine(settings)
    with engine.begin() as connection:
        items = [ItemCreated(SubjectRef("comment", f"c{i}"), account_id="a1", text="hello") for i in range(3)]
        event_log.append(connection, "test", [Event(f"e{i}", clock.now(), body) for i, body in enumerate(items)])
        cursors.move(connection, cursors.scored_name(0, 1), 2)
    engine.dispose()
    show_status(settings, POLICIES)
    out = " ".join(capsys.readouterr().out.split())
    assert "behind: event 0 of 3 in the segments, which are written about every 5 s; scores can be ahead" in out


@pytest.mark.parametrize("left", [0, 20])
def test_damaged_files_are_named_next_to_everything_else(
    left: int, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(settings)
    manifest = Segments(settings.features_dir / "segments").write(empty_batch(BUILTIN), 1)
    path = settings.features_dir / "segments" / "manifest-0of1.json"
    path.write_bytes(msgspec.json.encode(manifest)[:left])
    write_state(settings.published_dir, PublishedState())
    (settings.published_dir / "state.json").write_bytes(b'{"policies": "\xff"}'[:left])
    show_status(settings, load_policies(settings.policies))
    shown = " ".join(capsys.readouterr().out.split())
    assert "manifest-0of1.json: The file is damaged" in shown.replace("manifest- 0of1", "manifest-0of1")
    assert "leads worker --rebuild --once derive the feature rows again" in shown
    assert "state.json is damaged" in shown
    assert "API keys 0 valid" in shown
