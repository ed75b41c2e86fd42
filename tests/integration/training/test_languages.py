"""From labels in several languages to a version that records them, and figures for each."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml

from leads.db import event_log
from leads.db.engine import open_engine
from leads.events import DecisionMade, Event, ItemCreated, SubjectRef
from leads.policies import load_policies
from leads.settings import PLATFORM_FILE, POLICIES_FILE, Settings, load_settings
from models import languages, manifest
from models.registry.mlflow_registry import MlflowRegistry
from models.version import ModelVersion, load
from tests.support.training.spam_labels import write_comments
from tests.support.training.text_frames import frame
from training.report.measure import metrics_of
from training.train import train

START = 1_750_000_000_000_000
SPAM = {
    "en": "Subscribe to my channel and win free cash with this offer today",
    "de": "Abonniere meinen Kanal und gewinne heute mit diesem Angebot bares Geld",
    "fr": "Abonnez-vous à ma chaîne et gagnez de l'argent avec cette offre aujourd'hui",
}
TALK = {
    "en": "This is a lovely song and I listen to it every night in summer",
    "de": "Das ist ein schönes Lied und ich höre es im Sommer jeden Abend",
    "fr": "C'est une belle chanson et je l'écoute tous les soirs en été",
}
# Which rows are in which language: many, enough, and too few.
ROWS = ["en"] * 200 + ["de"] * 60 + ["fr"] * 15


def write_corpus(folder: Path) -> None:
    random = np.random.default_rng(5)
    rows = []
    for i, language in enumerate(random.permutation(ROWS).tolist()):
        spam = random.random() < 0.4
        rows.append((f"{(SPAM if spam else TALK)[language]} {i}", spam))
    write_comments(folder, rows)


def decide(settings: Settings, n: int, language: str) -> None:
    """English comments that state another language, each decided as one that isn't spam."""
    events = []
    for i in range(n):
        comment, at = SubjectRef("comment", f"p{i}"), START + i * 10_000_000
        item = ItemCreated(comment, "a1", text=f"{TALK['en']} p{i}", fields={"language": language})
        events.append(Event(f"i{i}", at, item))
        events.append(Event(f"d{i}", at + 5, DecisionMade(comment, "spam", "not_violating", "human", "r1")))
    engine = open_engine(settings)
    with engine.begin() as connection:
        event_log.append(connection, "test", events)
    engine.dispose()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """`spam`, trained on a platform whose comments state their language. Tests only read it."""
    home, corpora = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("corpora")
    write_corpus(corpora)
    declared = PLATFORM_FILE.read_text(encoding="utf-8")
    platform = home / "platform.yaml"
    platform.write_text(with_language(declared), encoding="utf-8")
    settings = load_settings(home=home, corpora=corpora, platform=platform)
    MlflowRegistry(settings).prepare()
    decide(settings, 30, "pt-BR")
    train(settings, load_policies(POLICIES_FILE), "spam", frame=frame)
    fetched = MlflowRegistry(settings).fetch("spam", "1", home / "fetched")
    return load(fetched)


def with_language(declared: str) -> str:
    """The declaration in which comments have a field that states their language."""
    platform = yaml.safe_load(declared)
    platform["types"]["comment"]["fields"]["language"] = {"kind": "language"}
    return yaml.safe_dump(platform, sort_keys=False)


def test_the_languages_of_the_training_rows_are_recorded(trained: ModelVersion) -> None:
    counts = languages.read(trained.folder)
    assert counts is not None
    # Four fifths of each source.
    assert counts["pt"] == 24
    assert 140 <= counts["en"] <= 180
    assert 35 <= counts["de"] <= 60
    assert 1 <= counts["fr"] <= 15
    assert trained.languages == {"en", "de", "pt"}


def test_language_is_a_slice_of_the_evaluation(trained: ModelVersion) -> None:
    found = {one.value: one.rows for one in metrics_of(trained).slices if one.dimension == "language"}
    assert {"en", "de", "pt"} <= set(found)
    card = (trained.folder / manifest.CARD).read_text()
    assert f"| language: de | {found['de']} |" in card
    assert "| languages, by distinct texts | en " in card
    assert "de" in msgspec.json.decode((trained.folder / "dataset.json").read_bytes())["languages"]
