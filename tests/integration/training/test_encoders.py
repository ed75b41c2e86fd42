"""Fine-tuned encoders in a real MLflow: which one is promoted, what is fetched, and what is deleted in time."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from leads import clock
from leads.db import model_changes
from leads.db.model_changes import Action, ModelChange
from leads.errors import Conflict, ModelRefused, NotFound, Unavailable
from leads.settings import Settings, load_settings
from models.manifest import TEXT_SCORE
from models.registry.encoder_folders import prune_encoders
from models.registry.encoders import EncoderRegistry, folders_stay
from models.registry.mlflow_registry import MlflowRegistry
from models.text import encoder_files as files
from models.text.encoder_files import ENCODERS
from models.text.sentence import place_of
from models.version import load
from monitoring.running.opened import opened_world
from serving.retention.prune import prune
from serving.versions.follower import Follower
from tests.support.encoders.registered import register_encoder, register_version
from tests.support.serving.world import POLICIES

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: make encoder")
pytest.importorskip("tokenizers", reason="the tokenizer is not installed: make encoder")
pytestmark = pytest.mark.slow

LATER = clock.now() + 400 * clock.DAY


@pytest.fixture
def registry(settings: Settings, tmp_path: Path) -> EncoderRegistry:
    """Encoders 1, 2 and 3, of which 1 and then 2 were promoted."""
    made = EncoderRegistry(settings)
    for also in "abc":
        register_encoder(settings, tmp_path / f"encoder-{also}", also)
    made.promote("1", "first")
    made.promote("2", "better")
    return made


def named(registry: EncoderRegistry) -> dict[str, str]:
    """The names of the encoders by number."""
    return {one.version: one.id for one in registry.list()}


def unused_since(folder: Path, days: float) -> None:
    at = clock.now() / clock.SECOND - days * 86_400
    os.utime(folder, (at, at))


def on_host(settings: Settings) -> list[str]:
    return sorted(path.name for path in (settings.root / ENCODERS).iterdir() if path.is_dir())


def change(number: str, action: Action, alias: str | None, engine: Engine) -> None:
    with engine.begin() as connection:
        made = ModelChange(clock.now(), "spam", number, action, "me", "", alias=alias, state="done")
        model_changes.record(connection, made)


def test_the_promoted_one_is_found_by_its_alias(
    settings: Settings, registry: EncoderRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    asked, get_run = [], MlflowClient.get_run

    def counted(self: MlflowClient, run_id: str) -> object:
        asked.append(run_id)
        return get_run(self, run_id)

    monkeypatch.setattr(MlflowClient, "get_run", counted)
    promoted = registry.promoted()
    assert promoted is not None
    assert asked == [promoted.run_id]
    assert (promoted.version, promoted.promoted) == ("2", True)
    assert promoted == registry.named("2")


def test_rolling_back_returns_to_the_one_before_and_then_to_none(registry: EncoderRegistry) -> None:
    with pytest.raises(Conflict, match="promoted already"):
        registry.promote("2", "again")
    with pytest.raises(NotFound):
        registry.promote("9", "unknown")
    assert getattr(registry.roll_back("worse"), "version", None) == "1"
    assert getattr(registry.promoted(), "version", None) == "1"
    assert registry.roll_back("worse too") is None
    assert registry.promoted() is None
    with pytest.raises(Conflict, match="No encoder is promoted"):
        registry.roll_back("none")
    registry.promote("3", "newest")
    assert getattr(registry.roll_back("worse"), "version", None) == "2"


def test_no_version_goes_back_with_its_encoder_and_those_that_depend_on_it_are_named(
    settings: Settings, registry: EncoderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    versions, second = MlflowRegistry(settings), named(registry)["2"]
    register_version(settings, tmp_path / "v1", named(registry)["1"])
    register_version(settings, tmp_path / "v2", second)
    versions.set_alias("spam", "champion", "2")
    shown = CliRunner().invoke(app, ["encoder", "rollback", "--why", "worse"])
    assert shown.exit_code == 0, shown.output
    assert "Harms are trained with encoder v1 again." in shown.output
    assert f"Versions that need encoder v2 ({second}): spam v2 (champion)" in shown.output
    # One that may be rolled back to, too.
    assert f"Versions that need encoder v1 ({named(registry)['1']}): spam v1" in shown.output
    assert "leads train --all  train the harms with encoder v1" in shown.output
    listed = CliRunner().invoke(app, ["encoder", "list"])
    assert listed.exit_code == 0, listed.output
    assert "rolled back" in listed.output
    assert "worse" in listed.output
    assert versions.aliases("spam") == {"champion": "2"}
    fetched = load(versions.fetch("spam", "2", tmp_path / "fetched"), place_of(settings))
    fetched.verify()
    assert fetched.text_stage is not None
    assert fetched.text_stage.encoder_folder == settings.root / ENCODERS / second


@pytest.mark.parametrize("damage", ["removed", "file removed", "file changed"])
def test_an_encoder_that_is_damaged_while_its_version_is_published_is_fetched_again(
    settings: Settings, registry: EncoderRegistry, tmp_path: Path, damage: str
) -> None:
    id_ = named(registry)["1"]
    register_version(settings, tmp_path / "v1", id_)
    MlflowRegistry(settings).set_alias("spam", "champion", "1")
    follower = Follower(settings, POLICIES, MlflowRegistry(settings))
    assert follower.step().harms["spam"].champion == "1"
    folder = settings.root / ENCODERS / id_
    if damage == "removed":
        shutil.rmtree(folder)
    elif damage == "file removed":
        (folder / files.NETWORK).unlink()
    else:
        (folder / files.NETWORK).write_bytes(b"x")
    follower.look_after()
    assert files.is_whole(folder, id_)
    assert follower.step().harms["spam"].damaged == {}


def test_monitoring_reads_the_inputs_of_versions_that_need_an_encoder(
    settings: Settings, engine: Engine, registry: EncoderRegistry, tmp_path: Path
) -> None:
    register_version(settings, tmp_path / "v1", named(registry)["1"])
    shutil.rmtree(settings.root / ENCODERS)
    with opened_world(settings) as world:
        assert TEXT_SCORE in (world.input_names("spam", "1") or ())
        assert world.notes == []


def test_an_encoder_that_is_damaged_or_gone_is_fetched_again(settings: Settings, registry: EncoderRegistry) -> None:
    id_ = named(registry)["1"]
    folder = registry.ensure(id_)
    kept = folder.stat().st_ino
    assert registry.ensure(id_).stat().st_ino == kept
    for harm_it in (
        lambda at: (at / files.NETWORK).write_bytes(b"x"),
        lambda at: (at / files.ABOUT).unlink(),
        shutil.rmtree,
    ):
        harm_it(folder)
        assert files.is_whole(registry.ensure(id_), id_)
    assert on_host(settings) == [id_]
    with pytest.raises(ModelRefused, match="isn't in the registry"):
        registry.ensure("tuned-unknown")
    assert on_host(settings) == [id_]


def test_encoders_that_this_host_does_not_need_go_and_come_back_when_they_are(
    settings: Settings, registry: EncoderRegistry, tmp_path: Path
) -> None:
    ids = named(registry)
    register_version(settings, tmp_path / "v1", ids["1"])
    MlflowRegistry(settings).fetch("spam", "1", settings.published_dir / "spam")
    for id_ in ids.values():
        unused_since(registry.ensure(id_), 31)
    assert prune_encoders(settings, clock.now() - 40 * clock.DAY, False).items == 0
    counted = {one.kind: one for one in prune(settings, ["encoders"], dry_run=True)}
    assert len(on_host(settings)) == 3
    (done,) = prune(settings, ["encoders"])
    assert done == counted["encoders"]
    assert (done.items, done.trouble) == (1, "")
    assert (done.size or 0) > 1_000
    # Version 1 is published here, and 2 is promoted.
    assert on_host(settings) == sorted((ids["1"], ids["2"]))
    assert files.is_whole(registry.ensure(ids["3"]), ids["3"])
    assert prune(settings, ["encoders"])[0].items == 0


def test_what_is_fetched_while_old_ones_are_deleted_stays(settings: Settings, registry: EncoderRegistry) -> None:
    folder = registry.ensure(named(registry)["3"])
    unused_since(folder, 31)
    deleting = threading.Thread(target=prune_encoders, args=(settings, clock.now() - 30 * clock.DAY, False))
    with folders_stay(settings):
        deleting.start()
        # Whoever fetches says that it is used, before it lets go.
        os.utime(folder)
    deleting.join(60)
    assert folder.is_dir()


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def down(self: EncoderRegistry) -> None:
        raise Unavailable("MLflow can't be reached.")

    with monkeypatch.context() as patched:
        patched.setattr(EncoderRegistry, "promoted", down)
        yield


@pytest.mark.usefixtures("unreachable")
def test_while_the_registry_is_down_none_goes(settings: Settings, registry: EncoderRegistry) -> None:
    unused_since(registry.ensure(named(registry)["3"]), 31)
    (done,) = prune(settings, ["encoders"])
    assert "can't be reached" in done.trouble
    assert len(on_host(settings)) == 1


def test_registered_encoders_go_once_no_version_needs_them(
    settings: Settings, engine: Engine, registry: EncoderRegistry, tmp_path: Path
) -> None:
    """1 and 2 were promoted before 4, so rolling back can return to them; 6 is the newest."""
    for also in "def":
        register_encoder(settings, tmp_path / f"encoder-{also}", also)
    registry.promote("4", "better")
    ids, versions = named(registry), MlflowRegistry(settings)
    # Only version 1, which goes, needs encoder 3. Version 2 stays, and needs 5.
    for number, needed in (("1", "3"), ("2", "5"), ("3", "5")):
        assert register_version(settings, tmp_path / f"v{number}", ids[needed]) == number
        change(number, "registered", None, engine)
    versions.set_alias("spam", "champion", "2")
    assert prune(settings, ["versions"])[0].items == 0
    (counted,) = prune(settings, ["versions"], dry_run=True, clock_=lambda: LATER)
    (done,) = prune(settings, ["versions"], clock_=lambda: LATER)
    assert (done.trouble, done) == ("", counted)
    assert sorted(one.version for one in versions.versions("spam")) == ["2", "3"]
    assert sorted(named(registry)) == ["1", "2", "4", "5", "6"]
    # A version and an encoder, and the artifacts of both.
    assert done.items == 4
    shutil.rmtree(settings.root / ENCODERS)
    for number in "12456":
        registry.ensure(ids[number])
    with pytest.raises(ModelRefused):
        registry.ensure(ids["3"])
    # One that was rolled back is no target of another rollback.
    registry.roll_back("worse")
    assert prune(settings, ["versions"], clock_=lambda: LATER)[0].items == 2
    assert sorted(named(registry)) == ["1", "2", "5", "6"]


def test_promoting_without_a_registry_says_how_to_get_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No encoder is registered yet"):
        EncoderRegistry(load_settings(home=tmp_path)).promote("1", "no reason")
