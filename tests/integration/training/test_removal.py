"""Unused versions go from a real MLflow; what serves, can be rolled back to, or belongs to another home stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import model_changes
from leads.db.model_changes import Action, ModelChange
from leads.errors import NotFound
from leads.settings import Settings, load_settings
from models.registry.mlflow_client import Connector
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.removal import REMOVED
from models.registry.versions import RunRecord
from models.version import load, model_name
from serving.retention.prune import prune
from tests.support.training.fake_registry import write_model
from tests.support.training.scripted import CONTRACT

pytestmark = pytest.mark.slow
LATER = clock.now() + 400 * clock.DAY


@pytest.fixture
def registry(settings: Settings, engine: Engine, tmp_path: Path) -> MlflowRegistry:
    """Version 1 was champion before 4; challenger 2 was replaced by 3; 5 is the newest."""
    made = MlflowRegistry(settings)
    write_model(tmp_path / "made", "spam", CONTRACT, skilled=True)
    version = load(tmp_path / "made")
    changes: list[tuple[str, Action, str | None, str | None]] = [
        ("1", "promoted", "champion", None),
        ("2", "challenging", "challenger", None),
        ("3", "challenging", "challenger", "2"),
        ("4", "promoted", "champion", "1"),
        ("5", "registered", None, None),
    ]
    for at, (number, action, alias, replaced) in enumerate(changes, clock.now()):
        run = RunRecord(fingerprint=f"f{number}", params={"depth": 2}, metrics={"ap": 0.5})
        assert made.register("spam", version, run) == number
        change = ModelChange(at, "spam", number, action, "me", "", alias=alias, replaced=replaced, state="done")
        with engine.begin() as connection:
            model_changes.record(connection, change)
    made.set_alias("spam", "champion", "4")
    return made


def artifacts(settings: Settings) -> int:
    """The runs that have artifacts."""
    return len({path.parent for path in settings.artifacts_dir.rglob("model") if path.is_dir()})


def numbers(registry: MlflowRegistry) -> list[str]:
    return [one.version for one in registry.versions("spam")]


def test_unused_versions_and_their_artifacts_go_and_their_runs_stay(
    settings: Settings, registry: MlflowRegistry, tmp_path: Path
) -> None:
    assert prune(settings, ["versions"])[0].items == 0
    run_of = {one.version: one.run_id for one in registry.versions("spam")}
    (counted,) = prune(settings, ["versions"], dry_run=True, clock_=lambda: LATER)
    assert numbers(registry) == ["5", "4", "3", "2", "1"]
    (done,) = prune(settings, ["versions"], clock_=lambda: LATER)
    assert done == counted
    assert not done.trouble
    # Two versions, and the artifacts of their runs.
    assert done.items == 4
    assert (done.size or 0) > 10_000
    assert numbers(registry) == ["5", "4", "1"]
    assert artifacts(settings) == 3
    for number in ("5", "4", "1"):
        assert load(registry.fetch("spam", number, tmp_path / "fetched")).harm == "spam"
    with pytest.raises(NotFound):
        registry.fetch("spam", "2", tmp_path / "fetched")
    with Connector(settings).client() as client:
        run = client.get_run(run_of["2"])
        assert (run.data.metrics, run.data.params["depth"]) == ({"ap": 0.5}, "2")
        assert REMOVED in run.data.tags
    assert prune(settings, ["versions"], clock_=lambda: LATER)[0].items == 0
    # Numbers aren't used again.
    assert registry.register("spam", load(tmp_path / "made"), RunRecord(fingerprint="f6")) == "6"


def test_killed_in_between_the_next_run_deletes_what_is_left(settings: Settings, registry: MlflowRegistry) -> None:
    with Connector(settings).client() as client:
        client.delete_model_version(model_name("spam"), "2")
    (done,) = prune(settings, ["versions"], clock_=lambda: LATER)
    assert done.items == 3
    assert numbers(registry) == ["5", "4", "1"]
    assert artifacts(settings) == 3


def test_a_copied_home_does_not_delete_the_originals_artifacts(
    settings: Settings, registry: MlflowRegistry, tmp_path: Path
) -> None:
    shutil.copytree(settings.root, tmp_path / "copy")
    copy = load_settings(home=tmp_path / "copy", corpora=Path())
    prune(copy, ["versions"], clock_=lambda: LATER)
    assert artifacts(settings) == 5
    assert numbers(registry) == ["5", "4", "3", "2", "1"]
