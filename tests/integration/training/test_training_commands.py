"""`leads train` and `leads retrain` as they are typed, over a real MLflow registry on SQLite."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from cli.ui.labels import imports
from leads import clock
from leads.db import event_log
from leads.db.engine import open_engine
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring.rows import MetricRow
from leads.errors import Conflict, LeadsError
from leads.events import DecisionMade, Event, ItemCreated, SubjectRef
from leads.files import only_one
from leads.policies import load_policies
from leads.settings import load_settings
from models.registry.mlflow_registry import MlflowRegistry
from models.version import load
from tests.support.training.own_texts import BAD, FINE, own_policies, own_text
from training.data.label_files import label_files
from training.data.observations import observations
from training.data.own_labels import Columns, import_labels
from training.lifecycle.retraining import due

POLICIES = own_policies("{new_labels: 5, promote: false}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for an empty home with a policy of its own, a configuration folder of its own and no corpora."""
    prepare(tmp_path, monkeypatch)
    return tmp_path


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "policies.yaml").write_text(POLICIES)
    (folder / "harms").mkdir()
    for name, value in {
        "HOME": folder / "home",
        "POLICIES": folder / "policies.yaml",
        "TRAINING": folder / "harms",
        "CORPORA": "",
    }.items():
        monkeypatch.setenv(f"LEADS_{name}", str(value))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of such a home after its first training, to copy."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as monkeypatch:
        prepare(folder, monkeypatch)
        assert first_training(folder).exit_code == 0
    return folder


@pytest.fixture
def trained(original: Path, home: Path) -> Path:
    """Such a home after its first training."""
    for name in ("home", "mine.csv"):
        copy = shutil.copytree if (original / name).is_dir() else shutil.copy
        copy(original / name, home / name)
    return home


def write_csv(path: Path, n: int = 400, seed: int = 3) -> Path:
    random = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("comment", "when", "is_bad"))
        for i in range(n):
            bad = random.random() < 0.4
            when = f"2026-01-{1 + i // 24:02d}T{i % 24:02d}:00:00Z"
            writer.writerow((own_text(random, i, seed, bad=bad), when, "yes" if bad else "no"))
    return path


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit | LeadsError):
        raise result.exception
    return result


def said(result: Result) -> str:
    return " ".join((result.output + result.stderr).split())


def first_training(home: Path) -> Result:
    table = write_csv(home / "mine.csv")
    return run(
        "train", "--csv", str(table), "--harm", "my_harm", "--text", "comment", "--label", "is_bad", "--time", "when"
    )


def test_from_a_file_of_ones_own_to_a_challenger_that_can_be_promoted(home: Path, tmp_path: Path) -> None:
    result = first_training(home)
    assert result.exit_code == 0, result.output
    assert "leads models promote my_harm 1" in said(result)
    settings = load_settings()
    registry = MlflowRegistry(settings)
    assert registry.aliases("my_harm") == {"challenger": "1"}
    assert "leads models promote my_harm 1" in said(run("status"))
    assert "compare my_harm" not in said(run("models", "show", "my_harm", "1"))
    version = load(registry.fetch("my_harm", "1", tmp_path / "fetched"))
    bad, fine = version.score(
        np.full((2, len(version.contract.columns)), np.nan, dtype=np.float32), ["subscribe free click", "lovely song"]
    ).score
    assert bad > 0.6 > 0.3 > fine
    promoted = run("models", "promote", "my_harm", "1")
    assert promoted.exit_code == 0
    assert "rollback" not in said(promoted) + said(run("models", "history", "my_harm"))
    assert registry.aliases("my_harm") == {"champion": "1"}
    status = said(run("status"))
    assert "leads serve publish the trained versions and score over HTTP leads keys create NAME" in status
    assert "simulate" not in status
    # What was imported once is learned from again; nothing is new, so nothing is trained.
    again = run("train", "my_harm")
    assert "same data and configuration as v1" in said(again)
    assert len(registry.versions("my_harm")) == 1


def test_labels_are_imported_without_a_training_and_trained_on_later(home: Path) -> None:
    table = write_csv(home / "mine.csv")
    imported = run("labels", "import", "my_harm", str(table), *COLUMNS)
    assert imported.exit_code == 0, imported.output
    assert "leads train my_harm" in said(imported)
    assert "Next:" not in said(run("labels", "import", "my_harm", str(table), *COLUMNS, "--quiet"))
    assert "mine" in said(run("labels", "list", "my_harm"))
    registry = MlflowRegistry(load_settings())
    assert not registry.exists() or registry.versions("my_harm") == []
    assert run("train", "my_harm").exit_code == 0
    assert registry.aliases("my_harm") == {"challenger": "1"}


def test_a_first_champion_says_what_was_never_scored(home: Path) -> None:
    settings = load_settings()
    engine = open_engine(settings)
    bodies = [ItemCreated(SubjectRef("comment", f"c{i}"), account_id="a1", text="lovely song") for i in range(3)]
    with engine.begin() as connection:
        event_log.append(connection, "test", [Event(f"e{i}", clock.now(), body) for i, body in enumerate(bodies)])
    engine.dispose()
    assert run("worker", "--once").exit_code == 0
    assert "ever scored" not in said(first_training(home))
    promoted = run("models", "promote", "my_harm", "1")
    assert "got its first champion: my_harm (3 subjects). To score them: leads score-backlog" in said(promoted)
    assert "got its first champion: my_harm (3 subjects)" in said(run("train", "my_harm"))
    assert "my_harm 3" in said(run("score-backlog", "--quiet"))
    assert "ever scored" not in said(run("train", "my_harm"))


def test_whatever_can_be_trained_is_measured(home: Path) -> None:
    """The smallest file that can be trained holds out ten rows of each kind, whatever the order of its rows."""
    table = write_csv(home / "mine.csv", n=90)
    shown = said(
        run("train", "my_harm", "--csv", str(table), "--text", "comment", "--label", "is_bad", "--time", "when")
    )
    assert "trained v1" in shown
    assert "Not measured" not in shown
    assert "not measured" not in said(run("models", "list"))


def test_retraining_shows_champion_and_candidate_on_the_same_rows(trained: Path) -> None:
    (trained / "policies.yaml").write_text(POLICIES.replace("promote: false", "promote: true"))
    run("models", "promote", "my_harm", "1")
    settings = load_settings()
    more = write_csv(trained / "more.csv", n=300, seed=9)
    columns = Columns("comment", "is_bad", time="when")
    import_labels(settings, load_policies(settings.policies), "my_harm", more, columns)
    shown = said(run("retrain", "my_harm"))
    for word in (
        "my_harm is due: 300 labels are new since version 1",
        "v1 (champion)",
        "v2 (candidate)",
        "average precision",
        "calibration error (ECE)",
        "p-value",
    ):
        assert word in shown


def test_a_configuration_file_makes_another_version(trained: Path) -> None:
    (trained / "harms" / "my_harm.yaml").write_text("text: {plain_c: 0.5}\ncalibration: platt\n")
    assert run("train", "my_harm").exit_code == 0
    newest = MlflowRegistry(load_settings()).versions("my_harm")[0]
    assert newest.version == "2"


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("text: {plain_d: 1}\n", "text.plain_d"),
        ("trees: {max_depth: 0}\n", "trees.max_depth"),
        ("[1, 2]\n", "The file is a list"),
    ],
)
def test_a_wrong_configuration_names_file_and_key(home: Path, written: str, named: str) -> None:
    (home / "harms" / "my_harm.yaml").write_text(written)
    result = run("train", "my_harm")
    assert result.exit_code != 0
    assert "my_harm.yaml" in str(result.exception)
    assert named in str(result.exception)


def test_tuning_keeps_what_it_finds_in_a_file(home: Path) -> None:
    (home / "harms" / "my_harm.yaml").write_text("text: {plain_c: 10000, nb_c: 10000}\n")
    table = write_csv(home / "mine.csv", n=300)
    result = run(
        "train", "my_harm", "--csv", str(table), "--text", "comment", "--label", "is_bad", "--tune", "--trials", "6"
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "found a better configuration" in said(result)
    kept = yaml.safe_load((home / "home" / "tuned" / "my_harm.yaml").read_text())
    assert kept["text"]["plain_c"] < 1000
    (home / "harms" / "my_harm.yaml").write_text((home / "home" / "tuned" / "my_harm.yaml").read_text())
    logged = MlflowRegistry(load_settings()).version("my_harm", "1")
    assert {"search/text heads - out-of-fold log loss by trial", "search/trees - out-of-fold log loss by trial"} <= set(
        logged.metrics
    )
    # Nothing is trained again to see the texts of its errors.
    assert "same data and configuration as v1" in said(run("train", "my_harm", "--with-texts"))
    tables = (home / "home" / "mlartifacts" / logged.run_id / "artifacts").glob("*.json")
    assert sorted(path.name for path in tables) == ["worst_errors.json", "worst_errors_with_texts.json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "my_harm", "--text", "x"], "--csv"),
        (["train", "--csv", "x.csv", "--text", "a", "--label", "b"], "Name one harm"),
        (["train", "my_harm", "--csv", "x.csv"], "columns"),
        (["train", "my_harm", "--replace"], "--csv"),
        (["labels", "import", "my_harm", "x.csv", "--text", "a"], "columns"),
        (["train"], "--all"),
        (["retrain"], "--all"),
    ],
)
def test_wrong_usage_says_what_is_missing(home: Path, words: list[str], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in said(result)


def decide(home: Path, n: int) -> None:
    """So many verdicts on comments that nobody has seen."""
    settings = load_settings()
    engine = open_engine(settings)
    at = clock.now()
    events = [
        Event(f"d{i}", at + i, DecisionMade(SubjectRef("comment", f"c{i}"), "my_harm", "violating", "human", "r1"))
        for i in range(n)
    ]
    with engine.begin() as connection:
        event_log.append(connection, f"test-{at}", events)
    engine.dispose()


def test_a_harm_is_due_by_new_labels_or_by_drift(trained: Path) -> None:
    run("models", "promote", "my_harm", "1")
    settings = load_settings()
    policy = load_policies(settings.policies).harms["my_harm"]
    engine, registry = open_engine(settings), MlflowRegistry(settings)
    try:
        assert not due(settings, engine, registry, "my_harm", policy).is_due
        result = run("retrain", "my_harm")
        assert result.exit_code == 0
        assert "not due" in said(result)
        ended = clock.now() - clock.HOUR
        window = ("my_harm", "1", "against=reference", ended - clock.DAY, ended, "drift.verdict")
        with engine.begin() as connection:
            metric_rows.write(connection, "run", [MetricRow(*window, 1.0, None, None, 500, "")])
        found = due(settings, engine, registry, "my_harm", policy)
        assert (found.is_due, found.drifted) == (False, True)
        decide(trained, 2)
        assert due(settings, engine, registry, "my_harm", policy).is_due
        with engine.begin() as connection:
            later = MetricRow(*window, 0.0, None, None, 500, "")._replace(until=ended + 1)
            metric_rows.write(connection, "run", [later])
        found = due(settings, engine, registry, "my_harm", policy)
        assert (found.is_due, found.new_labels) == (False, 2)
        decide(trained, 5)
        assert due(settings, engine, registry, "my_harm", policy).is_due
    finally:
        engine.dispose()


COLUMNS = ("--text", "comment", "--label", "is_bad", "--time", "when")


def test_a_cumulative_file_retrains_by_its_new_texts_alone(trained: Path) -> None:
    settings = load_settings()
    policies = load_policies(settings.policies)
    engine, registry = open_engine(settings), MlflowRegistry(settings)

    def new_labels() -> int:
        return due(settings, engine, registry, "my_harm", policies.harms["my_harm"]).new_labels

    def import_again(path: Path, *, name: str | None = None, replace: bool = False) -> None:
        columns = Columns("comment", "is_bad", time="when")
        import_labels(settings, policies, "my_harm", path, columns, name=name, replace=replace)

    try:
        import_again(trained / "mine.csv", name="a copy")
        assert new_labels() == 0
        known = observations(settings, "my_harm").rows[0]
        again = run("train", "my_harm")
        assert "same data and configuration as v1" in said(again)
        with (trained / "mine.csv").open("a") as file:
            file.writelines(f"added words {i},2026-03-01,yes\n" for i in range(3))
        import_again(trained / "mine.csv", name="cumulative")
        assert new_labels() == 3
        import_again(trained / "mine.csv", replace=True)
        assert new_labels() == 3
        # Another verdict on a known text is new too.
        with (trained / "mine.csv").open("a") as file:
            file.write(f"{known.text},2026-03-02,{'no' if known.violating else 'yes'}\n")
        import_again(trained / "mine.csv", replace=True)
        assert new_labels() == 4
    finally:
        engine.dispose()


def test_versions_are_never_compared_on_rows_that_one_of_them_was_trained_on(home: Path) -> None:
    """A cumulative export under a second name, then the first is removed: what is held out moves to other rows."""
    (home / "feb").mkdir()
    january, february = write_csv(home / "export.csv", n=300), write_csv(home / "feb" / "export.csv", n=700)
    for options in (("--csv", str(january)), ("--csv", str(february), "--name", "feb")):
        assert run("train", "my_harm", *options, *COLUMNS).exit_code == 0
    run("labels", "remove", "my_harm", "export")
    assert "my_harm v3 is challenger" in said(run("train", "my_harm"))
    compared = said(run("models", "compare", "my_harm", "2", "3"))
    # February's own latest fifth is the last 80 rows; alone, its latest fifth is the last 140.
    assert "60 of 140 held-out rows were left out, because version 2 was trained on them." in compared
    assert "v2 and v3 on 80 held-out rows" in compared
    promoted = run("models", "promote", "my_harm", "2")
    assert "60 more were left out" in said(promoted)


def test_while_another_process_trains_nothing_is_imported(home: Path) -> None:
    settings = load_settings()
    with only_one(settings.root / "training.lock", what="training"):
        refused = first_training(home)
    assert isinstance(refused.exception, Conflict)
    assert str(refused.exception).endswith(
        "Another process is training. Nothing was imported. When it has finished, run the same command again."
    )
    assert label_files(settings, "my_harm") == []


def test_a_training_that_begins_during_the_import_is_named_with_what_was_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings()
    lock = only_one(settings.root / "training.lock", what="training")
    original = imports.import_file

    def slow(*given: Any, **named: Any) -> Any:
        made = original(*given, **named)
        lock.__enter__()
        return made

    monkeypatch.setattr(imports, "import_file", slow)
    refused = first_training(home)
    lock.__exit__(None, None, None)
    assert str(refused.exception).endswith(
        "Another process is training. The labels were imported. When it has finished, run: leads train my_harm"
    )
    assert [file.name for file in label_files(settings, "my_harm")] == ["mine"]


def test_sixty_rows_of_one_date_sorted_by_label_are_enough(home: Path) -> None:
    random, path = np.random.default_rng(5), home / "mine.csv"
    lines = [f"{' '.join(random.choice(BAD if i < 30 else FINE, 6))} {i},{int(i < 30)},2026-01-31" for i in range(60)]
    path.write_text("\n".join(("comment,is_bad,when", *lines)) + "\n")
    result = run("train", "my_harm", "--csv", str(path), *COLUMNS)
    assert result.exit_code == 0, result.output
    assert "All rows have the same time, so the held-out rows are drawn at random." in said(result)
    assert MlflowRegistry(load_settings()).aliases("my_harm") == {"challenger": "1"}


def test_another_file_of_the_same_name_is_refused_before_anything_is_trained(home: Path) -> None:
    write_csv(home / "mine.csv", n=20)
    few = run("train", "my_harm", "--csv", str(home / "mine.csv"), *COLUMNS)
    assert "20 labels" in str(few.exception)
    (home / "feb").mkdir()
    table = write_csv(home / "feb" / "mine.csv", n=20, seed=9)
    refused = run("train", "my_harm", "--csv", str(table), *COLUMNS)
    assert refused.exit_code == 1
    assert "add --replace to replace them" in str(refused.exception)
    assert "20 labels" in str(run("train", "my_harm", "--csv", str(table), *COLUMNS, "--replace").exception)
    both = run("train", "my_harm", "--csv", str(home / "mine.csv"), *COLUMNS, "--name", "january")
    assert "40 labels" in str(both.exception)


def test_more_of_ones_own_labels_retrain_and_policy_keeps_the_new_version_waiting(trained: Path) -> None:
    run("models", "promote", "my_harm", "1")
    more = write_csv(trained / "more.csv", n=300, seed=9)
    imported = run("train", "my_harm", "--csv", str(more), "--text", "comment", "--label", "is_bad", "--time", "when")
    assert imported.exit_code == 0
    registry = MlflowRegistry(load_settings())
    assert registry.aliases("my_harm") == {"champion": "1", "challenger": "2"}
    assert "not due" in said(run("retrain", "--all"))
