"""`leads models`, over a real MLflow registry on SQLite: what answers, who changed it, and what the gate keeps out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from cli.checks.champions import check_champions
from features.offline.frames import Frame
from leads.db import canary_retreats, model_changes
from leads.db.canary_retreats import Retreat
from leads.db.engine import migrate, open_engine, reading
from leads.errors import Conflict, LeadsError
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings, load_settings
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import CANARY_SHARE, RunRecord
from models.thresholds import Thresholds
from models.write import Parts, write_version
from tests.support.training.spam_labels import SPAM, TALK, write_comments
from training.behaviour.suite import load
from training.config import SEED
from training.data import dataset
from training.data.split import folds
from training.evidence import Evidence
from training.fit.counts import count_texts
from training.fit.model import fit
from training.report.calibration import Chance
from training.report.evaluate import AtTier, Evaluation
from training.report.measure import Metrics
from training.report.paired import Interval

LOGGED = {"ap": 0.9, "ap_low": 0.87, "ap_high": 0.93, "brier": 0.1, "test_distinct": 120}
HELD_OUT = Evidence(rows=130, positives=52, distinct=120, distinct_positives=48, distinct_negatives=72)
METRICS = Metrics(
    rows=600,
    positives=240,
    new_labels=None,
    rounds=7,
    fit=Evidence(470, 188, 461, 180, 281),
    calibration=Evidence(465, 187, 460, 180, 280),
    held_out=HELD_OUT,
    test=Evaluation(
        evidence=HELD_OUT,
        missing="",
        ap=Interval(0.91, 0.85, 0.95),
        roc_auc=Interval(0.93, 0.9, 0.96),
        brier=Interval(0.1, 0.08, 0.12),
        ece=Interval(0.03, 0.02, 0.06),
        chance=Chance(0.04, 0.8),
        tiers=(AtTier("review", 0.5, 60, 55, Interval(0.8, 0.7, 0.9), Interval(0.9, 0.8, 0.97)),),
    ),
    by_source={"corpus:youtube-spam": Interval(0.91, 0.85, 0.95)},
    slices=(),
)


class World(NamedTuple):
    """A home in which three versions of `spam` are registered and none answers; the second one is no good."""

    home: Path
    corpora: Path


def write_corpus(folder: Path, n: int = 600) -> None:
    random = np.random.default_rng(3)
    rows = []
    for i in range(n):
        spam = random.random() < 0.4
        words = [random.choice(SPAM if spam and random.random() < 0.4 else TALK) for _ in range(8)]
        rows.append((" ".join([*words, str(i)]), spam != (random.random() < 0.05)))
    write_comments(folder, rows)


def no_rows(*_: object) -> Frame:
    """There are no decisions, so no features are asked for."""
    raise AssertionError


SUITE = load("spam")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("corpora"))
    write_corpus(made.corpora)
    settings = load_settings(home=made.home, corpora=made.corpora)
    policy = load_policies(POLICIES_FILE).harms["spam"]
    engine = open_engine(settings)
    data = dataset.assemble(settings, engine, "spam", policy, frame=no_rows, seed=SEED)
    engine.dispose()
    registry = MlflowRegistry(settings)
    for number, spoilt in enumerate((False, True, False)):
        version = write_version(made.home / f"made-{number}", parts_of(data, spoilt=spoilt))
        record = RunRecord(
            f"f{number}",
            metrics=LOGGED,
            tags={"leads.data": "abc"},
        )
        assert registry.register("spam", version, record) == str(number + 1)
    return made


def parts_of(data: dataset.Dataset, *, spoilt: bool) -> Parts:
    """What a version is made of that learned from the labels, or from shuffled ones."""
    learn = np.flatnonzero(~data.held_out)
    labels = data.labels[learn]
    if spoilt:
        labels = np.random.default_rng(1).permutation(labels)
    inside = folds(data.groups[learn], seed=SEED)
    fitted = fit(
        data.contract, data.features[learn], labels, inside,
        counts=count_texts(data.texts), rows=learn, threads=1, seed=SEED,
    )  # fmt: skip
    return Parts(
        harm="spam",
        contract=data.contract,
        booster=fitted.booster,
        text_stage=fitted.text_stage,
        prior_log_odds=fitted.prior_log_odds,
        calibrator=fitted.calibrator,
        thresholds=Thresholds(review=0.5, auto=None, why={"review": "Made up.", "auto": "Never."}),
        reference=fitted.vector[:50],
        reference_labels=labels[:50].tolist(),
        metrics=msgspec.json.encode(METRICS),
        card="# Made up\n",
    )


@pytest.fixture
def home(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home of the test's own; the artifacts lie where they were made, and nobody changes those."""
    own = tmp_path / "home"
    own.mkdir()
    shutil.copy(world.home / "mlflow.db", own)
    monkeypatch.setenv("LEADS_HOME", str(own))
    monkeypatch.setenv("LEADS_CORPORA", str(world.corpora))
    # What is measured here is whose verdict holds; the project's own suite asks for more than these words tell.
    monkeypatch.setattr("training.behaviour.run.load", lambda *_: None)
    settings = load_settings()
    migrate(settings)
    return settings


Leads = Callable[..., Result]


@pytest.fixture
def leads(home: Settings) -> Leads:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["models", *arguments])

    return run


def said(result: Result) -> str:
    """What a command that worked printed, on one line."""
    assert result.exit_code == 0, (result.output, result.exception)
    return " ".join(result.output.split())


def refused(result: Result) -> str:
    assert result.exit_code == 1
    assert isinstance(result.exception, LeadsError), (result.output, result.exception)
    return str(result.exception)


def test_from_the_first_promotion_to_retirement(leads: Leads, home: Settings) -> None:
    registry = MlflowRegistry(home)
    first = leads("promote", "spam", "2")
    assert "spam v2 was not promoted. spam has no champion." in first.output
    assert "leads models compare" not in first.output
    assert "champion" in said(leads("promote", "spam", "v1", "--by", "ana"))
    blocked = leads("promote", "spam", "2", "--by", "ana")
    assert blocked.exit_code == 1
    assert "fail" in blocked.output
    # Both versions are shown on the same rows, not only that a check failed.
    assert "v1 (champion)" in blocked.output
    assert "v2 (candidate)" in blocked.output
    assert "--override" in blocked.output
    assert "v1 stays champion." in blocked.output
    # Nothing that was just done or shown, and nothing that gets around the gate, is a next step.
    steps = blocked.output.partition("Next")[2]
    assert "leads models show spam 2" in steps
    assert "compare" not in steps
    assert "promote" not in steps
    compared = said(leads("compare", "spam", "1", "2")).partition("Next")[2]
    assert "leads models show spam 2" in compared
    assert "promote" not in compared
    assert registry.aliases("spam") == {"champion": "1"}

    assert "--why" in refused(leads("promote", "spam", "2", "--override"))
    assert "(gate overridden)" in said(leads("promote", "spam", "2", "--override", "--why", "a drill", "--by", "ben"))
    assert registry.aliases("spam") == {"champion": "2"}
    history = said(leads("history", "spam"))
    assert "a drill" in history
    assert "ben" in history
    assert "(gate" in history

    rolled_back = said(leads("rollback", "spam", "--why", "the drill is over"))
    assert "v1 is now champion" in rolled_back
    assert "go back one more" not in rolled_back
    assert registry.aliases("spam") == {"champion": "1"}
    assert "no usable champion" in refused(leads("rollback", "spam"))
    assert "Retired spam v2." in said(leads("retire", "spam", "2", "--why", "no good"))
    retired = leads("promote", "spam", "2", "--override", "--why", "again")
    assert f"by {model_changes.current_actor()}: no good. Train a new version" in refused(retired)
    assert "is the champion" in refused(leads("retire", "spam", "1"))
    listed = said(leads("list"))
    assert all(word in listed for word in ("champion", "retired", "0.900", "ana"))

    engine = open_engine(home)
    with reading(engine) as connection:
        kept = [(c.action, c.version, c.actor, c.state) for c in model_changes.history(connection, "spam")]
    engine.dispose()
    me = model_changes.current_actor()
    assert kept == [
        ("promoted", "1", "ana", "done"),
        ("promoted", "2", "ben", "done"),
        ("rolled_back", "1", me, "done"),
        ("retired", "2", me, "done"),
    ]


def test_an_alias_that_was_moved_by_hand_is_shown(leads: Leads, home: Settings) -> None:
    said(leads("promote", "spam", "1"))
    (finding,) = check_champions(home)
    assert finding.state == "ok"
    assert "outside leads" not in said(leads("list"))
    MlflowRegistry(home).set_alias("spam", "champion", "2")
    moved = "The alias champion of spam was moved to v2 outside leads, which last made v1 champion."
    (finding,) = check_champions(home)
    assert (finding.state, finding.detail) == ("warning", moved)
    for words in (("list",), ("list", "spam"), ("history", "spam")):
        assert moved in said(leads(*words))
    assert "v1 is now champion" in said(leads("rollback", "spam"))
    assert check_champions(home)[0].state == "ok"


def test_the_versions_of_one_harm_are_listed(leads: Leads) -> None:
    assert "v3" in said(leads("list", "spam"))
    assert "No version of sexism is registered yet." in said(leads("list", "sexism"))
    assert "Harm 'nothing' not found" in refused(leads("list", "nothing"))


def test_a_canary_from_its_start_to_its_end(leads: Leads, home: Settings) -> None:
    registry = MlflowRegistry(home)
    assert "has no champion" in refused(leads("canary", "spam", "2"))
    said(leads("promote", "spam", "1"))
    assert "--stop" in refused(leads("canary", "spam"))
    assert "--stop" in refused(leads("canary", "spam", "2", "--stop"))
    assert "no canary" in refused(leads("canary", "spam", "--stop"))
    assert "serves 5% of subjects" in said(leads("canary", "spam", "2", "--why", "a look", "--by", "ana"))
    assert registry.aliases("spam") == {"champion": "1", "canary": "2"}
    assert registry.tags_of("spam", "2")[CANARY_SHARE] == "0.05"
    assert "serves 12.5% of subjects" in said(leads("canary", "spam", "2", "--share", "0.125"))
    assert registry.tags_of("spam", "2")[CANARY_SHARE] == "0.125"
    listed = said(leads("list"))
    assert "canary" in listed
    assert "retreated" not in listed
    engine = open_engine(home)
    with engine.begin() as connection:
        canary_retreats.record(connection, Retreat(0, "spam", "2", "4 of 4 calls failed", "h1"))
    engine.dispose()
    for shown in (said(leads("list")), said(leads("show", "spam", "2"))):
        assert "4 of 4 calls failed" in shown
    assert "retreated" not in said(leads("show", "spam", "1"))
    said(leads("canary", "spam", "2"))
    assert "retreated" not in said(leads("list"))
    assert "Stopped the canary of spam, v2." in said(leads("canary", "spam", "--stop"))
    assert registry.aliases("spam") == {"champion": "1"}
    history = said(leads("history", "spam"))
    assert all(word in history for word in ("made canary", "canary stopped", "a look", "ana"))


def test_rolling_back_works_when_the_labels_are_gone(
    leads: Leads, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("1", "3"):
        said(leads("promote", "spam", number, "--override", "--why", "a start"))
    monkeypatch.setenv("LEADS_CORPORA", "none")
    assert "--override" in refused(leads("promote", "spam", "2"))
    assert "v1 is now champion" in said(leads("rollback", "spam"))
    assert MlflowRegistry(home).aliases("spam") == {"champion": "1"}


def test_one_version_is_shown_with_all_that_is_known(leads: Leads, home: Settings) -> None:
    assert "never checked by the gate" in said(leads("show", "spam"))
    said(leads("promote", "spam", "1", "--by", "ana"))
    shown = said(leads("show", "spam"))
    for word in (
        "spam v1",
        "champion",
        "ana",
        "0.910 (0.850 to 0.950)",
        "Made up.",
        "ranking",
        "golden.json",
        "languages not recorded",
    ):
        assert word in shown
    # Each count stands in one place, under a heading that says which rows it is about.
    for line in (
        "fit 470 461 188 180",
        "calibration and tiers, a part of the above 465 460 187 180",
        "held out 130 120 52 48",
        "precision of review 0.800 (0.700 to 0.900), 60 rows, 55 distinct",
    ):
        assert line in shown
    for figure in ("0.910", "0.930", "600 in all", " 470 "):
        assert shown.count(figure) == 1, figure
    assert "model_card.md" in shown
    assert "Version 9 of spam not found" in refused(leads("show", "spam", "9"))


def test_two_versions_are_compared_on_the_same_rows(leads: Leads) -> None:
    compared = said(leads("compare", "spam", "2", "3"))
    for word in ("average precision", "Brier score", "precision of review", "time per row, ms", "size, MB", "no tier"):
        assert word in compared
    assert "Version 9 of spam not found" in refused(leads("compare", "spam", "1", "9"))


def test_the_checks_of_its_suite_that_a_version_fails_are_shown_with_texts_and_scores(
    leads: Leads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.ui.models.behaviour.suite_for", lambda *_: None)
    assert "spam has no behaviour suite" in refused(leads("behaviour", "spam", "3"))
    monkeypatch.setattr("cli.ui.models.behaviour.suite_for", lambda *_: SUITE)
    some = said(leads("behaviour", "spam", "3"))
    for word in ("functionality", "invariance", "checks fail", "must score", "behaviour spam 3 --all"):
        assert word in some
    every = said(leads("behaviour", "spam", "3", "--all"))
    assert len(every) > len(some)
    assert "--all" not in every
    assert "Version 9 of spam not found" in refused(leads("behaviour", "spam", "9"))


def test_what_is_unknown_is_named(leads: Leads) -> None:
    assert "Harm 'nothing' not found" in refused(leads("promote", "nothing", "1"))
    assert "Version 9 of spam not found" in refused(leads("promote", "spam", "9"))
    assert "Version 9 of spam not found" in refused(leads("retire", "spam", "9"))
    assert "Harm 'nothing' not found" in refused(leads("history", "nothing"))
    assert "There are no changes" in said(leads("history", "sexism"))


def test_a_running_change_keeps_others_out(leads: Leads, home: Settings) -> None:
    from leads.files import only_one

    with only_one(home.root / "models.lock", what="changing"):
        result = leads("rollback", "spam")
    assert isinstance(result.exception, Conflict)


def test_dropping_an_alias_that_nobody_bears_is_no_error(home: Settings) -> None:
    registry = MlflowRegistry(home)
    registry.drop_alias("spam", "challenger")
    registry.tag("spam", "1", "leads.note", "one")
    registry.tag("spam", "1", "leads.note", "two")
    assert registry.version("spam", "1").tags["leads.note"] == "two"
