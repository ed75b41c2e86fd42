from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from features.columns import evaluate
from features.contract import FeatureContract
from features.frames import Frame
from features.rows import missing
from leads import event_log
from leads.errors import NotEnoughData
from leads.policies import HarmPolicy, load_policies
from leads.records import DecisionMade, Event, ItemCreated, Subject, SubjectRef
from leads.settings import REPOSITORY, Settings, load_settings
from leads.tables import open_engine
from training.dataset import Dataset, assemble

START = 1_750_000_000_000_000
SPAM = load_policies(REPOSITORY / "policies.yaml").harms["spam"]


class Frames:
    """Stands for `features.frames.point_in_time`: notes what it was asked, knows of each subject only its text."""

    def __init__(self) -> None:
        self.subjects: list[Subject] = []
        self.texts: list[str | None] = []
        self.as_of: list[int] = []

    def __call__(
        self,
        settings: Settings,
        contract: FeatureContract,
        subjects: Sequence[Subject],
        texts: Sequence[str | None],
        as_of: np.ndarray,
    ) -> Frame:
        self.subjects, self.texts, self.as_of = list(subjects), list(texts), as_of.tolist()
        matrix = evaluate(contract, missing(len(subjects)), as_of, texts).matrix
        matrix[:, 0] = 1.0
        return Frame(matrix, np.zeros((len(subjects), 3), dtype=np.int64))


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Corpora of 200 comments, the first of which appear on the platform too."""
    folder = tmp_path / "corpora" / "youtube-spam"
    folder.mkdir(parents=True)
    lines = [f"c{i},a,2014-01-01T{i // 60:02d}:{i % 60:02d}:00,comment number {i},{i % 2}" for i in range(200)]
    (folder / "01-made.csv").write_text("\n".join(["COMMENT_ID,AUTHOR,DATE,CONTENT,CLASS", *lines]) + "\n")
    return load_settings(home=tmp_path / "home", corpora=tmp_path / "corpora")


@pytest.fixture
def log(home: Settings) -> Engine:
    return open_engine(home)


def say(engine: Engine, at: int, subject: str, text: str) -> None:
    body = ItemCreated(SubjectRef("comment", subject), "a1", text=text)
    with engine.begin() as connection:
        event_log.append(connection, [Event(f"i{at}", START + at, body)], clock_=lambda: START + at)


def decide(engine: Engine, at: int, subject: str, *, violating: bool) -> None:
    verdict = "violating" if violating else "not_violating"
    body = DecisionMade(SubjectRef("comment", subject), "spam", verdict, "human", "r1")
    with engine.begin() as connection:
        event_log.append(connection, [Event(f"d{at}", START + at, body)], clock_=lambda: START + at)


def dataset(home: Settings, engine: Engine, frame: Frames, policy: HarmPolicy = SPAM) -> Dataset:
    return assemble(home, engine, "spam", policy, frame=frame, seed=1)


def test_subjects_are_seen_as_just_before_their_decision(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "before")
    decide(log, 20, "p1", violating=True)
    say(log, 30, "p1", "edited after the verdict")
    frames = Frames()
    made = dataset(home, log, frames)
    assert frames.subjects == [Subject("comment", "p1")]
    assert frames.texts == ["before"]
    assert frames.as_of == [START + 19]
    assert made.rows[0].text == "before"
    assert made.rows[0].violating
    assert made.labels_until == START + 20
    assert made.sources == {"corpus:youtube-spam": 200, "platform": 1}
    assert made.features[0, 0] == 1.0
    assert np.isnan(made.features[1:, 0]).all()


def test_corpus_texts_that_are_on_the_platform_are_left_to_it(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "COMMENT  number 7\u200b")
    made = dataset(home, log, Frames())
    assert made.sources == {"corpus:youtube-spam": 199}
    assert all((row.text or "")[-8:] != "number 7" for row in made.rows)


def test_a_subject_without_text_stands_alone(home: Settings, log: Engine) -> None:
    for i in range(3):
        say(log, 10 + i, f"p{i}", " ")
        decide(log, 20 + i, f"p{i}", violating=False)
    made = dataset(home, log, Frames())
    assert [row.text for row in made.rows[:3]] == [None] * 3
    assert len({row.group for row in made.rows[:3]}) == 3


def test_equal_texts_stay_together_across_sources(home: Settings, log: Engine) -> None:
    for i in range(6):
        say(log, 10 + i, f"p{i}", "the same words")
        decide(log, 20 + i, f"p{i}", violating=True)
    made = dataset(home, log, Frames())
    assert len(set(made.held_out[:6].tolist())) == 1


def test_the_hash_changes_with_any_label_and_not_otherwise(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "words")
    decide(log, 20, "p1", violating=True)
    one = dataset(home, log, Frames()).hash
    assert dataset(home, log, Frames()).hash == one
    decide(log, 30, "p1", violating=False)
    assert dataset(home, log, Frames()).hash != one


def test_too_few_labels_are_refused_with_their_number(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "words")
    decide(log, 20, "p1", violating=True)
    policy = SPAM.model_copy(update={"corpora": ("edos",)})
    with pytest.raises(NotEnoughData, match=r"1 labels, 1 of them violating, 1 from decisions.*edos") as caught:
        dataset(home, log, Frames(), policy)
    assert caught.value.field == "spam"
    assert caught.value.remedy


def test_a_harm_without_text_takes_no_corpus(home: Settings, log: Engine) -> None:
    policy = SPAM.model_copy(update={"text": False})
    with pytest.raises(NotEnoughData, match="0 labels"):
        dataset(home, log, Frames(), policy)
