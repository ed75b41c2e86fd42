"""From a corpus and decisions to registered versions, over a real MLflow registry on SQLite."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

from leads.db.engine import open_engine
from leads.errors import ModelRefused, NotEnoughData, NotFound, Unavailable
from leads.policies import Policies, load_policies
from leads.settings import POLICIES_FILE, Settings, load_settings
from models import manifest
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import FINGERPRINT
from models.version import load
from tests.support.paths import REPOSITORY
from tests.support.training.live_features import OURS, go_live
from tests.support.training.spam_labels import decide, write_corpus
from tests.support.training.text_frames import frame
from training.train import retrain, train


@pytest.fixture(scope="module")
def policies() -> Policies:
    return load_policies(POLICIES_FILE)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without content: making one takes seconds, copying it none."""
    home = tmp_path_factory.mktemp("registry")
    MlflowRegistry(load_settings(home=home)).prepare()
    return home / "mlflow.db"


@pytest.fixture
def with_corpus(tmp_path: Path, corpus: Path, empty_registry: Path) -> Settings:
    """A home of the test's own with the corpus and an empty registry."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(empty_registry, home)
    return load_settings(home=home, corpora=corpus)


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, corpus: Path, empty_registry: Path, policies: Policies
) -> Settings:
    """A home in which `spam` was trained once. Tests only read it."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(empty_registry, home)
    settings = load_settings(home=home, corpora=corpus)
    train(settings, policies, "spam", frame=frame)
    return settings


def test_the_first_version_is_champion_and_carries_its_proof(trained: Settings, tmp_path: Path) -> None:
    registry = MlflowRegistry(trained)
    assert registry.aliases("spam") == {"champion": "1"}
    folder = registry.fetch("spam", "1", tmp_path)
    assert folder == tmp_path / "1"
    version = load(folder)
    version.verify()
    assert (version.harm, version.version) == ("spam", "1")
    assert "# Spam and scams" in (folder / manifest.CARD).read_text()
    spam, talk = version.score(
        np.full((2, len(version.contract.columns)), np.nan, dtype=np.float32), ["subscribe free click", "lovely song"]
    ).score
    assert spam > 0.5 > talk
    assert registry.fetch("spam", "1", tmp_path) == folder


def test_the_run_holds_metrics_plots_and_the_fingerprint(trained: Settings) -> None:
    (registered,) = MlflowRegistry(trained).versions("spam")
    assert {"ap", "roc_auc", "brier", "ece", "ece_p", "test_rows"} <= set(registered.metrics)
    assert registered.metrics["ap"] > 0.7
    assert registered.tags[FINGERPRINT]
    plots = sorted(path.name for path in trained.artifacts_dir.glob("*/artifacts/plots/*"))
    # The text decides alone, so importances would be a single bar.
    assert plots == ["precision_recall.png", "reliability.png", "scores.png", "slices.png"]


def test_the_portable_form_gives_servings_numbers(
    trained: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    version = load(MlflowRegistry(trained).fetch("spam", "1", tmp_path))
    features = np.random.default_rng(0).exponential(size=(6, len(version.contract.columns))).astype(np.float32)
    features[::2] = np.nan
    texts = ["subscribe free", None, "lovely song", "", "visit my channel", "again"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import pandas as pd

        model = mlflow.pyfunc.load_model(str(next(trained.artifacts_dir.glob("*/artifacts/model"))))
        rows = pd.DataFrame(features.astype(np.float64), columns=list(version.contract.names))
        rows["text"] = texts
        answer = model.predict(rows[rows.columns[::-1]])
        lacking = rows.columns[0]
        with pytest.raises(Exception, match=f"The rows lack 1 of the {len(rows.columns)} columns: {lacking}"):
            model.predict(rows[rows.columns[1:]])
    scores = version.score(features, texts)
    assert np.abs(answer["score"].to_numpy() - scores.score).max() < 1e-6
    assert answer["tier"].tolist() == version.tiers(scores)


def test_equal_data_is_not_trained_again(trained: Settings, policies: Policies) -> None:
    again = train(trained, policies, "spam", frame=frame)
    assert (again.version, again.alias, again.reused) == ("1", "champion", True)
    assert len(MlflowRegistry(trained).versions("spam")) == 1


def test_what_is_not_registered_is_not_found(trained: Settings, tmp_path: Path) -> None:
    for version in ("2", "no"):
        with pytest.raises(NotFound, match=f"Version {version} of spam not found"):
            MlflowRegistry(trained).fetch("spam", version, tmp_path)
    assert MlflowRegistry(trained).aliases("sexism") == {}
    assert list(tmp_path.iterdir()) == []


def test_without_a_registry_it_says_so_and_makes_none(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no model registry yet"):
        MlflowRegistry(settings).aliases("spam")
    with pytest.raises(Unavailable, match="no model registry yet"):
        MlflowRegistry(settings).fetch("spam", "1", tmp_path)
    assert not settings.root.exists()


def test_a_server_that_is_down_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = load_settings(home=tmp_path, mlflow_uri="http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="MLflow can't be reached"):
        MlflowRegistry(settings).aliases("spam")


def test_without_labels_or_corpora_it_names_what_is_missing(settings: Settings, policies: Policies) -> None:
    with pytest.raises(NotEnoughData, match=r"0 labels.*youtube-spam.*LEADS_CORPORA"):
        train(settings, policies, "spam", frame=frame)
    with pytest.raises(NotEnoughData, match="0 from decisions"):
        train(settings, policies, "stream_manipulation", frame=frame)
    with pytest.raises(NotFound, match="Harm 'nothing' not found"):
        train(settings, policies, "nothing", frame=frame)


def test_decisions_are_learned_from_and_the_better_version_promoted(with_corpus: Settings, policies: Policies) -> None:
    settings = with_corpus
    decide(settings, 0, 100)
    first = train(settings, policies, "spam", frame=frame)
    assert (first.version, first.alias, first.metrics.rows) == ("1", "champion", 500)
    with pytest.raises(NotEnoughData, match="No label of spam is new since version 1"):
        retrain(settings, policies, "spam", frame=frame)
    decide(settings, 100, 60)
    second = retrain(settings, policies, "spam", frame=frame)
    assert (second.version, second.metrics.new_labels, second.metrics.rows) == ("2", 60, 560)
    assert second.alias in ("champion", "challenger")
    assert "average precision" in second.why
    assert MlflowRegistry(settings).aliases("spam")[second.alias] == "2"
    with pytest.raises(NotEnoughData, match="new since version 2"):
        retrain(settings, policies, "spam", frame=frame)
    decide(settings, 160, 10)
    third = train(settings, policies, "spam", frame=frame)
    assert (third.version, third.alias) == ("3", "challenger")


def test_declared_features_are_trained_on_once_they_are_live(
    with_corpus: Settings, tmp_path: Path, policies: Policies
) -> None:
    settings = with_corpus
    decide(settings, 0, 100)
    engine = open_engine(settings)
    live = go_live(engine)
    first = train(settings, policies, "spam", frame=frame)
    assert (first.alias, first.gate.passed if first.gate else None) == ("champion", True)
    version = load(MlflowRegistry(settings).fetch("spam", "1", tmp_path))
    (column,) = [one for one in version.contract.columns if one.definition]
    assert (column.name, column.definition) == (OURS, live.by_name[OURS].definition)
    assert f"| `{OURS}` | count | reports it made in a day |" in (version.folder / manifest.CARD).read_text()
    # Once its declaration changes, the champion can't be compared, and the next version takes the new feature.
    changed = go_live(engine, window="7d")
    engine.dispose()
    decide(settings, 100, 60)
    second = retrain(settings, policies, "spam", frame=frame)
    assert f"Version 1 can't be compared. The contract needs the feature {OURS} as it was declared before" in second.why
    newer = load(MlflowRegistry(settings).fetch("spam", "2", tmp_path))
    assert changed.by_name[OURS].definition in {one.definition for one in newer.contract.columns}


def test_a_finished_version_without_alias_gets_it_back(with_corpus: Settings, policies: Policies) -> None:
    settings = with_corpus
    train(settings, policies, "spam", frame=frame)
    MlflowRegistry(settings).drop_alias("spam", "champion")
    again = train(settings, policies, "spam", frame=frame)
    assert (again.version, again.alias, again.reused) == ("1", "champion", True)


def test_artifacts_that_are_gone_are_refused(with_corpus: Settings, tmp_path: Path, policies: Policies) -> None:
    settings = with_corpus
    train(settings, policies, "spam", frame=frame)
    for path in settings.artifacts_dir.glob(f"*/artifacts/model/artifacts/version/{manifest.MANIFEST}"):
        path.unlink()
    with pytest.raises(ModelRefused, match="no version folder"):
        MlflowRegistry(settings).fetch("spam", "1", tmp_path / "into")


def states(settings: Settings) -> list[str]:
    """How the runs of `spam` ended, newest first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=settings.mlflow)
        experiment = client.get_experiment_by_name("leads/spam")
        return [run.info.status for run in client.search_runs([experiment.experiment_id])]


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from leads.policies import load_policies
    from leads.settings import POLICIES_FILE, load_settings
    from mlflow import MlflowClient
    from training.train import train

    moment = sys.argv[3]
    whole = getattr(MlflowClient, moment)

    def killed(*args, **kwargs):
        if sys.argv[4] == "after":
            whole(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(MlflowClient, moment, killed)
    settings = load_settings(home=Path(sys.argv[1]), corpora=Path(sys.argv[2]))
    train(settings, load_policies(POLICIES_FILE), "spam")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "when", "versions"),
    [
        ("log_artifacts", "before", 0),
        ("create_model_version", "before", 0),
        ("create_model_version", "after", 1),
        ("set_registered_model_alias", "before", 1),
    ],
)
def test_killed_while_registering_there_is_a_whole_version_or_none(
    with_corpus: Settings, tmp_path: Path, policies: Policies, moment: str, when: str, versions: int
) -> None:
    settings = with_corpus
    paths = str(settings.home), str(settings.corpora)
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(_KILLED), *paths, moment, when]
    child = subprocess.run(command, cwd=REPOSITORY, capture_output=True, env=os.environ, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    registry = MlflowRegistry(settings)
    assert len(registry.versions("spam")) == versions
    again = train(settings, policies, "spam", frame=frame)
    assert (again.version, again.alias, again.reused) == ("1", "champion", bool(versions))
    assert states(settings) == (["FINISHED"] if versions else ["FINISHED", "KILLED"])
    load(registry.fetch("spam", "1", tmp_path / "into")).verify()
