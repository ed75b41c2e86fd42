"""A home that was moved or copied reads and writes its own artifacts only."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from leads.errors import Unavailable
from leads.settings import Settings, load_settings
from models.registry.mlflow_client import Connector
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.moved_home import follow_home
from models.registry.versions import RunRecord
from models.version import ModelVersion, load
from models.write import write_version
from tests.support.backups import listing
from tests.support.serving.world import make_parts

NAMES = ["plain", "with space", "100% off", "50%25", "a#b?c&d", "ü 🎧", "mlartifacts"]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    return write_version(tmp_path_factory.mktemp("version") / "spam", make_parts())


@pytest.fixture(scope="module")
def original(version: ModelVersion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a registered version, to copy."""
    home = tmp_path_factory.mktemp("original") / "home"
    MlflowRegistry(at(home)).register("spam", version, RunRecord("f1"))
    return home


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Path:
    """A copy that was used once, so it is a home of its own."""
    shutil.copytree(original, tmp_path / "home")
    MlflowRegistry(at(tmp_path / "home")).aliases("spam")
    return tmp_path / "home"


def at(home: Path) -> Settings:
    return load_settings(home=home, corpora="none", database_url=None, mlflow_uri=None)


def score(settings: Settings, number: str, into: Path) -> list[float]:
    version = load(MlflowRegistry(settings).fetch("spam", number, into))
    features = np.full((1, len(version.contract.columns)), np.nan, dtype=np.float32)
    return list(version.score(features, ["free money"]).score)


def texts(home: Path) -> Iterator[str]:
    """Every text in MLflow's database."""
    with closing(sqlite3.connect(home / "mlflow.db")) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"'):
                yield from (value for value in row if isinstance(value, str))


@pytest.mark.parametrize("name", NAMES)
def test_a_moved_home_works_on(home: Path, version: ModelVersion, tmp_path: Path, name: str) -> None:
    before = score(at(home), "1", tmp_path / "before")
    moved = tmp_path / "new place" / name / "home"
    moved.parent.mkdir(parents=True)
    home.rename(moved)
    assert score(at(moved), "1", tmp_path / "after") == before
    assert MlflowRegistry(at(moved)).register("spam", version, RunRecord("f2")) == "2"
    assert score(at(moved), "2", tmp_path / "after") == before
    assert not home.exists()
    assert not any(str(home) in text for text in texts(moved))
    # Not the folder whose name is that of the URL either.
    assert [path.name for path in moved.parent.parent.iterdir()] == [name]
    assert [path.name for path in moved.parent.iterdir()] == ["home"]


def test_a_home_that_was_made_under_an_odd_name_moves(version: ModelVersion, tmp_path: Path) -> None:
    first, second = tmp_path / "50%25 #1? ü" / "home", tmp_path / "second"
    MlflowRegistry(at(first)).register("spam", version, RunRecord("f1"))
    assert [path.name for path in tmp_path.iterdir()] == [first.parent.name]
    before = score(at(first), "1", tmp_path / "before")
    first.rename(second)
    assert score(at(second), "1", tmp_path / "after") == before
    assert not any("%25" in text for text in texts(second))


def test_a_copy_and_the_original_are_used_side_by_side(home: Path, version: ModelVersion, tmp_path: Path) -> None:
    first, second = MlflowRegistry(at(home)), MlflowRegistry(at(tmp_path / "copy"))
    first.aliases("spam")
    shutil.copytree(home, tmp_path / "copy")
    before = listing(home)
    assert second.register("spam", version, RunRecord("f2")) == "2"
    second.set_alias("spam", "champion", "2")
    assert listing(home) == before
    before = listing(tmp_path / "copy")
    assert first.register("spam", version, RunRecord("f3")) == "2"
    assert first.aliases("spam") == {}
    assert listing(tmp_path / "copy") == before
    assert score(at(home), "2", tmp_path / "a") == score(at(tmp_path / "copy"), "2", tmp_path / "b")


def test_a_symbolic_link_is_the_same_home(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    before = list(texts(home))
    score(at(tmp_path / "link"), "1", tmp_path / "versions")
    assert list(texts(home)) == before


def test_artifacts_that_lie_elsewhere_stay(home: Path, tmp_path: Path) -> None:
    elsewhere = f"file://{home}/mlartifacts-of-others/1"
    with closing(sqlite3.connect(home / "mlflow.db")) as db, db:
        db.execute("INSERT INTO experiments (name, artifact_location) VALUES ('mine', 'file:///srv/mlartifacts/3')")
        db.execute("INSERT INTO experiments (name, artifact_location) VALUES ('leads of others', ?)", (elsewhere,))
        db.execute("INSERT INTO experiments (name, artifact_location) VALUES ('leads in s3', 's3://b/mlartifacts')")
    home.rename(tmp_path / "moved")
    follow_home(at(tmp_path / "moved"))
    found = set(texts(tmp_path / "moved"))
    assert {"file:///srv/mlartifacts/3", elsewhere, "s3://b/mlartifacts"} <= found
    assert any(text.startswith((tmp_path / "moved" / "mlartifacts").as_uri()) for text in found)


def test_a_database_without_its_artifacts_still_finds_them(home: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(home / "mlflow.db", tmp_path / "other")
    assert score(at(tmp_path / "other"), "1", tmp_path / "a") == score(at(home), "1", tmp_path / "b")


def test_a_database_outside_of_homes_is_left_alone(home: Path, tmp_path: Path) -> None:
    (home / "mlflow.db").rename(tmp_path / "shared.db")
    uri = f"sqlite:///{tmp_path / 'shared.db'}"
    before = (tmp_path / "shared.db").read_bytes()
    (tmp_path / "b" / "mlartifacts").mkdir(parents=True)
    other = load_settings(home=tmp_path / "b", corpora="none", mlflow_uri=uri)
    follow_home(other)
    assert (tmp_path / "shared.db").read_bytes() == before
    # Unless both were restored together.
    follow_home(other, restored=True)
    assert (tmp_path / "shared.db").read_bytes() != before


def test_a_server_is_left_alone(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, corpora="none", mlflow_uri="http://127.0.0.1:9")
    follow_home(settings)
    assert settings.mlflow_file is None
    assert Connector(settings).exists()


def test_several_processes_may_notice_at_once(home: Path, tmp_path: Path) -> None:
    home.rename(tmp_path / "moved")
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(follow_home, at(tmp_path / "moved")) for _ in range(16)]:
            done.result()
    assert not any(str(home) in text for text in texts(tmp_path / "moved"))


def test_a_database_that_is_replaced_is_noticed(home: Path, tmp_path: Path) -> None:
    """Only a database that has changed is looked at."""
    first, other = MlflowRegistry(at(home)), tmp_path / "other"
    assert len(first.versions("spam")) == 1
    shutil.copytree(home, other)
    follow_home(at(other))
    shutil.copy(other / "mlflow.db", home / "mlflow.db")
    assert any(str(other) in text for text in texts(home))
    assert len(first.versions("spam")) == 1
    assert not any(str(other) in text for text in texts(home))


def test_a_damaged_database_is_named(home: Path) -> None:
    (home / "mlflow.db").write_bytes(b"not a database" * 1_000)
    with pytest.raises(Unavailable, match=r"mlflow\.db"):
        MlflowRegistry(at(home)).aliases("spam")
