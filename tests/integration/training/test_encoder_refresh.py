"""`leads retrain` refreshes the encoder when the policies say so, and harms follow it; over a real MLflow."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from sqlalchemy.engine import Connection, Engine
from typer.testing import CliRunner

from cli.app import app
from leads import clock
from leads.alerting.alert import Alert, Detail
from leads.clock import Micros
from leads.db.engine import open_engine
from leads.db.monitoring import alerts
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring.rows import MetricRow
from leads.errors import LeadsError
from leads.policies import load_policies
from leads.settings import Settings, load_settings
from models.registry.encoders import NEEDED, EncoderRegistry
from models.registry.mlflow_registry import MlflowRegistry
from tests.support.encoders.registered import register_encoder
from tests.support.training.own_texts import own_policies, own_text
from training.data.own_labels import Columns, import_labels
from training.encoder.refresh import RefreshDue, refresh_due
from training.encoder.train import EncoderResult

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: make encoder")
pytest.importorskip("tokenizers", reason="the tokenizer is not installed: make encoder")
pytestmark = pytest.mark.slow

POLICIES = own_policies("{new_labels: 1000}")
REFRESH = "encoder:\n  refresh: {every: 30d, new_labels: 50}\n"


def run(*words: str) -> str:
    result: Result = CliRunner().invoke(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit | LeadsError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return " ".join((result.output + result.stderr).split())


def set_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands work in a folder, without corpora. Its policies refresh the encoder."""
    (folder / "policies.yaml").write_text(POLICIES + REFRESH)
    (folder / "harms").mkdir(exist_ok=True)
    places = {"HOME": "home", "POLICIES": "policies.yaml", "TRAINING": "harms"}
    for name, value in places.items():
        monkeypatch.setenv(f"LEADS_{name}", str(folder / value))
    monkeypatch.setenv("LEADS_CORPORA", "none")


def label(home: Path, n: int, seed: int) -> None:
    """Import labels of n texts."""
    random, path = np.random.default_rng(seed), home / f"labels-{seed}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("comment", "is_bad"))
        for i in range(n):
            bad = random.random() < 0.4
            writer.writerow((own_text(random, i, seed, bad=bad), "yes" if bad else "no"))
    settings = load_settings()
    import_labels(settings, load_policies(settings.policies), "my_harm", path, Columns("comment", "is_bad"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    set_up(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `trained` is a copy of."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_up(folder, monkeypatch)
        label(folder, 300, 1)
        register_encoder(load_settings(), folder / "encoder-1", "1")
        EncoderRegistry(load_settings()).promote("1", "first")
        run("train", "my_harm", "-q")
        run("models", "promote", "my_harm", "1", "--override", "--why", "test")
    return folder


@pytest.fixture
def trained(made: Path, home: Path) -> Path:
    """A home with 300 labels, encoder v1, and a champion that was trained with it."""
    shutil.copytree(made, home, dirs_exist_ok=True)
    return home


@pytest.fixture
def engine(trained: Path) -> Iterator[Engine]:
    opened = open_engine(load_settings())
    yield opened
    opened.dispose()


class Trainer:
    """Stands in for `train_encoder`: registers another tiny encoder. `before` and `after` are called around it."""

    def __init__(self, home: Path) -> None:
        self.home, self.calls = home, 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        # Whether labels and settings are those of the newest encoder.
        self.same = False

    def __call__(self, settings: Settings, policies: object, **options: Any) -> EncoderResult:
        self.calls += 1
        self.before()
        if self.same:
            encoder = EncoderRegistry(settings).list()[0]
        else:
            encoder = register_encoder(settings, self.home / f"refreshed-{self.calls}", f"refreshed {self.calls}")
        self.after()
        return EncoderResult(encoder, self.same, None, {}, 1.0)


@pytest.fixture
def trainer(home: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    made = Trainer(home)
    monkeypatch.setattr("training.encoder.refresh.train_encoder", made)
    return made


def ask(engine: Engine, **given: Any) -> RefreshDue:
    settings = load_settings()
    encoders = EncoderRegistry(settings).list()
    return refresh_due(settings, load_policies(settings.policies), engine, MlflowRegistry(settings), encoders, **given)


def needed() -> dict[str, str | None]:
    """The encoder that each version of the harm needs."""
    return {one.version: one.tags.get(NEEDED) for one in MlflowRegistry(load_settings()).versions("my_harm")}


def promoted() -> str | None:
    found = EncoderRegistry(load_settings()).promoted()
    return None if found is None else found.version


def test_without_a_policy_or_a_promoted_encoder_nothing_is_refreshed(home: Path, trainer: Trainer) -> None:
    label(home, 300, 1)
    run("train", "my_harm", "-q")
    label(home, 60, 2)
    assert "No encoder is promoted, so none is refreshed." in run("retrain", "--all")
    (home / "policies.yaml").write_text(POLICIES)
    register_encoder(load_settings(), home / "encoder-1", "1")
    EncoderRegistry(load_settings()).promote("1", "first")
    shown = run("retrain", "--all")
    assert "encoder" not in shown
    assert "my_harm is not due" in shown
    assert trainer.calls == 0


def test_a_refresh_that_is_due_is_announced_and_then_followed_by_the_harms(trained: Path, trainer: Trainer) -> None:
    label(trained, 49, 2)
    first = "the encoder is not due: 49 labels are new since encoder v1 was trained on"
    assert first in run("retrain", "--all")
    assert "A refresh is not due: 49 labels are new" in run("encoder", "list")
    label(trained, 1, 3)
    shown = run("retrain", "--all", "--dry-run")
    assert "the encoder is due: 50 labels are new since encoder v1 was trained on" in shown
    assert "a refresh is due at 50 or on 20" in shown
    assert "my_harm is due: it follows the encoder, which is refreshed first" in shown
    assert "leads retrain --all refresh and retrain what is due" in shown
    assert (trainer.calls, promoted()) == (0, "1")
    shown = run("retrain", "--all")
    assert (trainer.calls, promoted()) == (1, "2")
    assert "my_harm is due: encoder v2 was promoted since; 50 labels are new since version 1; retraining is" in shown
    old, new = (one.id for one in reversed(EncoderRegistry(load_settings()).list()))
    assert needed() == {"1": old, "2": new}
    found = EncoderRegistry(load_settings()).promoted()
    assert found is not None
    assert found.tags["leads.why"].startswith("refreshed: 50 labels are new")
    # Whatever the gate says, the harm was trained with it once.
    shown = run("retrain", "--all")
    assert "the encoder is not due: 0 labels are new since encoder v2" in shown
    assert "my_harm is not due" in shown
    assert len(needed()) == 2


def test_a_harm_that_the_gate_blocks_keeps_its_champion_with_its_encoder(
    trained: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.gate.gate.GateReport.passed", property(lambda report: False))
    label(trained, 60, 2)
    run("retrain", "--all")
    assert promoted() == "2"
    assert MlflowRegistry(load_settings()).aliases("my_harm") == {"champion": "1", "challenger": "2"}
    assert "my_harm is not due" in run("retrain", "--all")


def test_harms_without_an_encoder_do_not_follow(trained: Path, trainer: Trainer) -> None:
    (trained / "harms" / "my_harm.yaml").write_text("text: {encoder: none}\n")
    label(trained, 60, 2)
    assert "my_harm is not due" in run("retrain", "--all")
    assert promoted() == "2"


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed")
def test_without_pytorch_one_line_says_so_and_harms_are_trained_with_the_old_encoder(trained: Path) -> None:
    (trained / "policies.yaml").write_text(POLICIES.replace("new_labels: 1000", "new_labels: 5") + REFRESH)
    label(trained, 60, 2)
    shown = run("retrain", "--all")
    assert (
        "The encoder can't be refreshed: LEADS_ENCODER: Fine-tuning needs the package `torch`, which isn't installed. "
        "Run: make encoder-training. Serving doesn't need PyTorch. Harms are trained with encoder v1, as before."
    ) in shown
    (old,) = (one.id for one in EncoderRegistry(load_settings()).list())
    assert needed() == {"1": old, "2": old}


def test_a_training_asks_for_the_promoted_encoder_once(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ask_registry = [], EncoderRegistry.promoted

    def counted(registry: EncoderRegistry) -> object:
        asked.append(1)
        return ask_registry(registry)

    monkeypatch.setattr(EncoderRegistry, "promoted", counted)
    label(trained, 10, 2)
    run("train", "my_harm", "-q")
    assert len(needed()) == 2
    assert len(asked) == 1


def dies() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_before_the_encoder_is_promoted_the_next_run_goes_on(
    trained: Path, trainer: Trainer, when: str, engine: Engine
) -> None:
    """Before it is registered, or just after. Labels and settings are the same the next time."""
    label(trained, 60, 2)
    setattr(trainer, when, dies)
    with pytest.raises((KeyboardInterrupt, AssertionError)):
        run("retrain", "--all")
    assert promoted() == "1"
    assert ask(engine).is_due
    setattr(trainer, when, lambda: None)
    trainer.same = when == "after"
    run("retrain", "--all")
    assert promoted() == "2"
    assert len(needed()) == 2
    assert not ask(engine).is_due


def test_killed_before_the_harms_follow_the_next_run_goes_on(trained: Path, trainer: Trainer) -> None:
    label(trained, 60, 2)
    register_encoder(load_settings(), trained / "encoder-2", "2")
    EncoderRegistry(load_settings()).promote("2", "refreshed")
    shown = run("retrain", "--all")
    assert "the encoder is not due" in shown
    assert "encoder v2 was promoted since" in shown
    assert trainer.calls == 0
    assert len(set(needed().values())) == 2


def test_an_encoder_that_was_rolled_back_is_not_promoted_again_and_harms_do_not_go_back(
    trained: Path, trainer: Trainer, engine: Engine
) -> None:
    label(trained, 60, 2)
    run("retrain", "--all")
    EncoderRegistry(load_settings()).roll_back("worse")
    shown = run("retrain", "--all")
    assert "the encoder is not due: 0 labels are new since encoder v2" in shown
    assert "my_harm is not due" in shown
    label(trained, 60, 3)
    trainer.same = True
    assert "the encoder is due" in run("retrain", "--all")
    assert (trainer.calls, promoted()) == (2, "1")
    trainer.same = False
    run("retrain", "--all")
    assert promoted() == "3"


def test_a_schedule_needs_a_new_label(trained: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    (last,) = EncoderRegistry(load_settings()).list()
    later = clock.now() + 31 * clock.DAY
    monkeypatch.setattr("training.encoder.refresh.clock.now", lambda: later)
    found = ask(engine)
    assert not found.is_due
    due_on = clock.to_text(last.began + 30 * clock.DAY)[:10]
    assert found.why.endswith(f"; a refresh is due at 50 or on {due_on} or on drift, but it needs new labels.")
    label(trained, 1, 2)
    assert ask(engine).is_due
    (trained / "policies.yaml").write_text(POLICIES + "encoder: {refresh: {new_labels: 50}}\n")
    assert not ask(engine).is_due


def open_alert(connection: Connection, at: Micros) -> int:
    detail = Detail("An input has moved", "0.31", "drift.input", "", 9, at, at, "Look at it.", "drift")
    times, measured = (at, at, at, None, None, None), (0.31, 0.2, None, 0.0, 0.2)
    rule = ("input_drift", "my_harm", "", "1", "digest", "firing")
    return alerts.add(connection, Alert(0, *rule, *times, *measured, detail, None, None, None))  # type: ignore[arg-type]


def test_drift_and_the_alert_that_started_the_retraining_count_once(trained: Path, engine: Engine) -> None:
    label(trained, 1, 2)
    assert not ask(engine).is_due
    now = clock.now()
    window = ("my_harm", "1", "against=reference", now - clock.DAY, now, "drift.verdict")
    with engine.begin() as connection:
        metric_rows.write(connection, "run", [MetricRow(*window, 1.0, None, None, 500, "")])
        seq = open_alert(connection, now)
    found = ask(engine)
    assert found.is_due
    assert "; the inputs of my_harm version 1 have drifted." in found.why
    assert f"; alert {seq} has started the retraining." in ask(engine, alert=seq).why
    (trained / "policies.yaml").write_text(POLICIES + "encoder: {refresh: {on_drift: false}}\n")
    assert not ask(engine, alert=seq).is_due
    # What was known before the last fine-tuning says nothing about its encoder.
    (trained / "policies.yaml").write_text(POLICIES + REFRESH)
    register_encoder(load_settings(), trained / "encoder-2", "2")
    EncoderRegistry(load_settings()).promote("2", "refreshed")
    label(trained, 1, 3)
    assert not ask(engine, alert=seq).is_due
