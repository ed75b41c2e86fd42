"""What a data scientist finds in MLflow about a training, its version and its harm."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from leads import clock
from leads.db.engine import open_engine
from leads.errors import ModelRefused
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings, load_settings
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.runs import FORMER_EXPERIMENT, HARM, HOME
from models.registry.versions import FINGERPRINT
from tests.support.training.spam_labels import TALK, decide, write_corpus
from tests.support.training.text_frames import frame
from training.lifecycle.lifecycle import Lifecycle
from training.lifecycle.outcomes import ChangeReason
from training.report.description import LONGEST
from training.train import TrainResult, train

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = pytest.mark.slow

POLICIES = load_policies(POLICIES_FILE)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, corpora: Path) -> tuple[Settings, TrainResult]:
    """A home in which an earlier release left a run of `spam` open, and this one trained it. Tests only read it."""
    settings = load_settings(home=tmp_path_factory.mktemp("home"), corpora=corpora)
    MlflowRegistry(settings).prepare()
    decide(settings, 0, 100)
    former = mlflow_client(settings)
    experiment = former.create_experiment(FORMER_EXPERIMENT, artifact_location=settings.artifacts_dir.as_uri())
    finished = former.create_run(experiment, run_name="spam", tags={HARM: "spam", FINGERPRINT: "old"})
    former.log_metric(finished.info.run_id, "ap", 0.5)
    former.set_terminated(finished.info.run_id)
    return settings, train(settings, POLICIES, "spam", frame=frame)


@pytest.fixture
def own(trained: tuple[Settings, TrainResult], corpora: Path, tmp_path: Path) -> Settings:
    """A copy of that home, to change. The artifacts lie where they were made."""
    shutil.copytree(trained[0].root, tmp_path / "home", ignore=shutil.ignore_patterns("*.lock"))
    return load_settings(home=tmp_path / "home", corpora=corpora)


def mlflow_client(settings: Settings) -> MlflowClient:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=settings.mlflow, registry_uri=settings.mlflow)


def runs_of(settings: Settings, experiment: str) -> list[Run]:
    """The runs of an experiment, newest first."""
    client = mlflow_client(settings)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


def run_of(settings: Settings, version: str) -> Run:
    return mlflow_client(settings).get_run(MlflowRegistry(settings).version("spam", version).run_id)


def artifact(settings: Settings, run: Run, name: str) -> Any:
    return json.loads((settings.artifacts_dir / run.info.run_id / "artifacts" / name).read_text())


def test_each_harm_has_an_experiment_that_opens_in_the_view_for_models(
    trained: tuple[Settings, TrainResult],
) -> None:
    settings, _ = trained
    client = mlflow_client(settings)
    for name in ("leads/spam", FORMER_EXPERIMENT):
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    (run,) = runs_of(settings, "leads/spam")
    assert run.info.run_id == MlflowRegistry(settings).version("spam", "1").run_id
    # What an earlier release logged stays where it was.
    (former,) = runs_of(settings, FORMER_EXPERIMENT)
    assert former.data.metrics == {"ap": 0.5}


def test_a_run_lasts_as_long_as_its_training_and_is_named_after_its_version(
    trained: tuple[Settings, TrainResult],
) -> None:
    settings, result = trained
    run = run_of(settings, "1")
    assert run.info.status == "FINISHED"
    lasted = (run.info.end_time - run.info.start_time) / 1_000
    assert 0.8 * result.seconds < lasted < result.seconds + 1
    began = clock.to_text(run.info.start_time * 1_000)[:19].replace("T", " ")
    assert run.info.run_name == f"spam v1 {began}"


def test_a_run_shows_who_trained_on_what_and_how(trained: tuple[Settings, TrainResult]) -> None:
    settings, result = trained
    data = run_of(settings, "1").data
    assert data.tags["mlflow.user"] == data.tags["trained_by"]
    assert data.tags["mlflow.source.name"] == "leads train"
    assert data.tags["dataset"].startswith(f"{result.metrics.rows:,} labels, {result.metrics.positives:,} violating")
    assert data.tags["labels_until"].startswith("20")
    assert data.tags["calibration"].startswith("Scores are ")
    assert data.params["trees.max_depth"] == "3"
    assert data.params["text.plain_c"] == "3.0"
    assert data.params["never_lower"].startswith("item.reports_*, ")
    assert not [name for name, value in data.params.items() if value.startswith(("{", "[", "("))]


def test_metrics_have_intervals_slices_and_the_gates_results(trained: tuple[Settings, TrainResult]) -> None:
    settings, result = trained
    metrics, test = run_of(settings, "1").data.metrics, result.metrics.test
    assert test.ap is not None
    assert (metrics["ap"], metrics["ap_low"], metrics["ap_high"]) == (test.ap.found, test.ap.low, test.ap.high)
    assert {"ece_low", "precision_review", "precision_review_low", "recall_review_high"} <= set(metrics)
    (source,) = (one for one in result.metrics.slices if (one.dimension, one.value) == ("source", "platform"))
    assert metrics["slice_share_violating/source: platform"] == source.share.found
    assert metrics["slice_share_violating_low/source: platform"] == source.share.low
    assert result.gate is not None
    assert metrics["gate_passed"] == float(result.gate.passed)
    assert metrics["gate_checks_failed"] == len(result.gate.failed)


def test_losses_are_curves_by_step(trained: tuple[Settings, TrainResult]) -> None:
    settings, _ = trained
    run = run_of(settings, "1")
    curve = mlflow_client(settings).get_metric_history(run.info.run_id, "fit/out-of-fold log loss by tree")
    assert [point.step for point in curve] == list(range(1, len(curve) + 1))
    assert len(curve) > 10


def test_versions_and_harms_have_descriptions(trained: tuple[Settings, TrainResult]) -> None:
    settings, result = trained
    client = mlflow_client(settings)
    version, harm = client.get_model_version("leads-spam", "1"), client.get_registered_model("leads-spam")
    assert result.metrics.test.ap is not None
    for text in (
        "Spam and scams",
        result.metrics.test.ap.text(),
        "### Gate",
        "### Slices",
        "platform (100)",
        'load_model("models:/leads-spam/1")',
        version.tags["trained_by"],
    ):
        assert text in version.description
    assert len(version.description) <= LONGEST
    assert run_of(settings, "1").data.tags["mlflow.note.content"] == version.description
    assert version.tags["gate"].startswith("passed")
    assert "models:/leads-spam@champion" in harm.description
    assert "**review tier**: precision of at least 0.6" in harm.description
    assert harm.tags["champion"].startswith("version 1 since 20")


def test_what_a_page_says_about_loading_a_version_works(trained: tuple[Settings, TrainResult], tmp_path: Path) -> None:
    settings, _ = trained
    client = mlflow_client(settings)
    version, harm = client.get_model_version("leads-spam", "1"), client.get_registered_model("leads-spam")
    for text in (version.description, harm.description):
        code = text.partition("```python\n")[2].partition("```")[0]
        assert f'set_tracking_uri("{settings.mlflow}")' in code
        code = code.replace("model.predict(rows)", "print(len(model.predict(rows)['score']))")
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert ran.stdout.strip() == "2", ran.stderr


def test_a_move_is_shown_on_the_harms_page(own: Settings) -> None:
    decide(own, 100, 60)
    second = train(own, POLICIES, "spam", frame=frame)
    assert (second.version, second.alias) == ("2", "challenger")
    tags = mlflow_client(own).get_registered_model("leads-spam").tags
    assert tags["challenger"].startswith("version 2 since ")
    version = mlflow_client(own).get_model_version("leads-spam", "2")
    assert version.tags["gate"] == "not asked yet"
    engine = open_engine(own)
    lifecycle = Lifecycle(own, POLICIES.harm("spam"), "spam", MlflowRegistry(own), engine)
    lifecycle.promote("2", _no_labels, ChangeReason("ana", "a | drill"), override=True)
    engine.dispose()
    tags = mlflow_client(own).get_registered_model("leads-spam").tags
    assert tags["champion"].endswith(" UTC, promoted by ana: a | drill")
    assert "challenger" not in tags
    version = mlflow_client(own).get_model_version("leads-spam", "2")
    assert version.tags["gate"] == "blocked: held-out rows; overridden by ana: a | drill"
    assert run_of(own, "2").data.metrics["gate_passed"] == 0


def _no_labels() -> Any:
    from leads.errors import NotEnoughData

    raise NotEnoughData("There are no labels.")


def test_a_training_that_fails_is_a_failed_run(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ModelRefused("Its golden rows don't reproduce.")

    monkeypatch.setattr("training.train.build", refused)
    decide(own, 100, 60)
    with pytest.raises(ModelRefused):
        train(own, POLICIES, "spam", frame=frame)
    run = runs_of(own, "leads/spam")[0]
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "Its golden rows don't reproduce.")
    assert run.info.run_name.startswith("spam 20")
    assert "v" not in run.info.run_name


def test_runs_that_a_killed_training_left_open_are_closed(own: Settings) -> None:
    registry, client = MlflowRegistry(own), mlflow_client(own)
    killed = registry.begin_run("spam", "other data", at=clock.now(), tags={})
    elsewhere = registry.begin_run("sexism", "other data", at=clock.now(), tags={})
    on_another_host = client.create_run(
        client.get_run(killed).info.experiment_id, tags={HARM: "spam", HOME: "another", FINGERPRINT: "another"}
    ).info.run_id
    registry.end_abandoned_runs("spam", "this data")
    states = [client.get_run(run).info.status for run in (killed, elsewhere, on_another_host)]
    assert states == ["KILLED", "RUNNING", "RUNNING"]


def test_an_experiment_that_was_deleted_comes_back(own: Settings) -> None:
    registry, client = MlflowRegistry(own), mlflow_client(own)
    experiment = client.get_experiment_by_name("leads/spam")
    client.delete_experiment(experiment.experiment_id)
    run = registry.begin_run("spam", "data", at=clock.now(), tags={})
    assert client.get_run(run).info.experiment_id == experiment.experiment_id


def test_the_worst_errors_are_a_table_without_texts(trained: tuple[Settings, TrainResult]) -> None:
    settings, _ = trained
    run = run_of(settings, "1")
    assert {"path": "worst_errors.json", "type": "table"} in json.loads(run.data.tags["mlflow.loggedArtifacts"])
    table = artifact(settings, run, "worst_errors.json")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    # More than are on the wrong side of the review tier's start.
    assert [row["label"] for row in rows] == ["not violating"] * 25 + ["violating"] * 25
    for row in rows:
        assert row["main inputs (log-odds)"]
    assert [row for row in rows if row["main inputs (log-odds)"].startswith("text.score = ")]
    for label, descending in (("not violating", True), ("violating", False)):
        scores = [row["score"] for row in rows if row["label"] == label]
        assert scores == sorted(scores, reverse=descending)
    assert {row["subject"].partition(":")[0] for row in rows if row["source"] == "platform"} <= {"comment"}
    assert not [word for word in TALK if f" {word} " in json.dumps(table)]


def test_texts_are_added_when_asked_for_also_to_a_version_that_is_kept(
    trained: tuple[Settings, TrainResult],
) -> None:
    """In the home itself: within a process, MLflow remembers where a run's artifacts lie, also in a copy."""
    settings, _ = trained
    assert train(settings, POLICIES, "spam", frame=frame, with_texts=True).reused
    run = run_of(settings, "1")
    assert len(json.loads(run.data.tags["mlflow.loggedArtifacts"])) == 2
    with_texts = artifact(settings, run, "worst_errors_with_texts.json")
    without = artifact(settings, run, "worst_errors.json")
    at = with_texts["columns"].index("text")
    assert [[*row[:at], *row[at + 1 :]] for row in with_texts["data"]] == without["data"]
    assert all(isinstance(row[at], str) for row in with_texts["data"])


def test_a_version_carries_the_few_source_files_that_score(trained: tuple[Settings, TrainResult]) -> None:
    settings, _ = trained
    (code,) = (settings.artifacts_dir / run_of(settings, "1").info.run_id / "artifacts" / "model" / "code").iterdir()
    # The page's own code, run by another test, leaves compiled files beside these.
    logged = (path.relative_to(code) for path in code.rglob("*") if path.is_file())
    files = {path.as_posix() for path in logged if "__pycache__" not in path.parts}
    assert {"models/version.py", "models/text/stage.py", "leads/text.py"} <= files
    assert len(files) <= 36
    assert not [name for name in files if not name.endswith(".py") or name.startswith("leads/db")]


@pytest.fixture(autouse=True)
def _mlflow_may_warn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
