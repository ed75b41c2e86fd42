from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from features.contract import FeatureContract
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import contract_for, evaluate
from features.layout import missing
from features.offline.frames import Frame
from leads.content import content_hash
from leads.db import event_log
from leads.db.engine import open_engine
from leads.db.tables import leads
from leads.errors import NotEnoughData
from leads.events import ContentRef, DecisionMade, Event, ItemCreated, SignalReceived, Subject, SubjectRef
from leads.policies import HarmPolicy, load_policies
from leads.settings import POLICIES_FILE, Settings, load_settings
from tests.support.training.live_features import OPTIONAL, OURS, go_live
from training.config import TrainingConfig
from training.data.dataset import Dataset, assemble
from training.data.own_labels import Columns, import_labels
from training.joining import join_features
from training.report.dataset_card import card_of, markdown

START = 1_750_000_000_000_000
SPAM = load_policies(POLICIES_FILE).harms["spam"]


class Frames:
    """A fake of `features.offline.frames.point_in_time` that records its calls and knows only the texts."""

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
        features: FeatureSet,
    ) -> Frame:
        self.subjects, self.texts, self.as_of = list(subjects), list(texts), as_of.tolist()
        matrix = evaluate(contract, missing(features.roles, len(subjects)), as_of, texts, features).matrix
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
        event_log.append(connection, "test", [Event(f"i{at}", START + at, body)], clock_=lambda: START + at)


def decide(engine: Engine, at: int, subject: str, *, violating: bool, content: ContentRef | None = None) -> None:
    verdict = "violating" if violating else "not_violating"
    body = DecisionMade(SubjectRef("comment", subject), "spam", verdict, "human", "r1", content=content)
    with engine.begin() as connection:
        event_log.append(connection, "test", [Event(f"d{at}", START + at, body)], clock_=lambda: START + at)


def dataset(home: Settings, engine: Engine, frame: Frames, policy: HarmPolicy = SPAM) -> Dataset:
    return assemble(home, engine, "spam", policy, frame=frame, seed=1)


def test_a_version_with_another_hash_is_not_the_one_that_was_judged(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "old")
    say(log, 15, "p1", "new")
    judged = content_hash(ItemCreated(SubjectRef("comment", "p1"), "a1", text="old"))
    decide(log, 20, "p1", violating=True, content=ContentRef(1, "0" * 32))
    assert dataset(home, log, Frames()).rows[0].text == "new"
    decide(log, 30, "p1", violating=True, content=ContentRef(1, judged))
    assert [row.text for row in dataset(home, log, Frames()).rows[:2]] == ["new", "old"]


def test_subjects_are_seen_as_when_they_were_scored_last(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "before")
    decide(log, 20, "p1", violating=True)
    say(log, 30, "p1", "edited after the verdict")
    frames = Frames()
    made = dataset(home, log, frames)
    assert frames.subjects == [Subject("comment", "p1")]
    assert frames.texts == ["before"]
    assert frames.as_of == [START + 10]
    judged = ItemCreated(SubjectRef("comment", "p1"), "a1", text="before")
    assert made.rows[0].text == "before"
    assert made.rows[0].content == ContentRef(1, content_hash(judged))
    assert {row.content for row in made.rows[1:]} == {None}
    assert made.rows[0].violating
    assert made.labels_until == START + 20
    assert made.sources == {"corpus:youtube-spam": 200, "platform": 1}
    assert made.features[0, 0] == 1.0
    assert np.isnan(made.features[1:, 0]).all()


def report(engine: Engine, at: int, subject: str) -> None:
    body = SignalReceived(SubjectRef("comment", subject), "user_report", "app", reporter_id="r")
    with engine.begin() as connection:
        event_log.append(connection, "test", [Event(f"s{at}", START + at, body)], clock_=lambda: START + at)


def test_a_report_is_a_touch_and_what_comes_while_it_waits_is_not_seen(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "first")
    report(log, 15, "p1")
    decide(log, 20, "p1", violating=True)
    report(log, 25, "p1")
    frames = Frames()
    dataset(home, log, frames)
    assert frames.as_of == [START + 15]


def test_a_decided_lead_says_when_its_subject_was_scored(home: Settings, log: Engine) -> None:
    """The report came after the lead's last scoring: the reviewer saw it, the score did not."""
    say(log, 10, "p1", "first")
    report(log, 15, "p1")
    with log.begin() as connection:
        connection.execute(
            leads.insert().values(
                id="L1",
                type_id="comment",
                subject_id="p1",
                harm="spam",
                state="decided",
                score=0.5,
                tier="review",
                model_version="1",
                prediction_id="x",
                reasons=[],
                base_priority=1.0,
                created_at=START + 12,
                scored_at=START + 12,
            )
        )
        body = DecisionMade(SubjectRef("comment", "p1"), "spam", "violating", "human", "r1", lead_id="L1")
        event_log.append(connection, "test", [Event("d", START + 20, body)], clock_=lambda: START + 20)
    frames = Frames()
    dataset(home, log, frames)
    assert frames.as_of == [START + 12]


def test_copies_of_a_text_are_one_row_with_their_majoritys_label(home: Settings, log: Engine) -> None:
    folder = home.corpora_dir
    assert folder is not None
    lines = [f"x{i},a,2015-01-01T00:00:{i:02d},Copied  WORDS,{int(i < 2)}" for i in range(3)]
    lines += [f"y{i},a,2015-01-01T00:01:{i:02d},torn,{i % 2}" for i in range(2)]
    header = "COMMENT_ID,AUTHOR,DATE,CONTENT,CLASS"
    (folder / "youtube-spam" / "02-made.csv").write_text("\n".join([header, *lines]) + "\n")
    made = dataset(home, log, Frames())
    copied = [row for row in made.rows if (row.text or "").lower().startswith("copied")]
    assert [row.violating for row in copied] == [True]
    assert all(row.text != "torn" for row in made.rows)
    assert (made.removed, made.disputed) == (4, 1)


def test_labels_weigh_what_the_configuration_says(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "disputed")
    decide(log, 20, "p1", violating=True)
    decide(log, 30, "p1", violating=False)
    config = TrainingConfig.model_validate({"labels": {"human": 2.0, "disputed": 0.25, "corpus": 0.5}})
    made = assemble(home, log, "spam", SPAM, config=config, frame=Frames(), seed=1)
    assert made.weights[0] == 0.5
    assert set(made.weights[1:].tolist()) == {0.5}
    assert made.disputed == 1


def test_corpus_texts_that_are_on_the_platform_are_left_to_it(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "COMMENT  number 7\u200b")
    made = dataset(home, log, Frames())
    assert made.sources == {"corpus:youtube-spam": 199}
    assert all((row.text or "")[-8:] != "number 7" for row in made.rows)


def test_a_subject_without_text_stands_alone(home: Settings, log: Engine) -> None:
    for i in range(3):
        say(log, 10 + i, f"p{i}", " \u2067\u2800")
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
    with pytest.raises(NotEnoughData, match=r"1 label, 1 of them violating, 1 from decisions.*edos") as caught:
        dataset(home, log, Frames(), policy)
    assert caught.value.field == "spam"
    assert caught.value.remedy
    assert "Corpora not found: edos (set LEADS_CORPORA)." in caught.value.message
    off = home.model_copy(update={"corpora": Path()})
    with pytest.raises(NotEnoughData, match=r"Corpora turned off: edos \(by LEADS_CORPORA\)\."):
        dataset(off, log, Frames(), policy)


def own_file(
    home: Settings, rows: Sequence[tuple[str, bool, str]], name: str = "mine", *, replace: bool = False
) -> None:
    """Import texts with label and time."""
    path = home.root / "export.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,label,at\n" + "".join(f"{text},{int(label)},{at}\n" for text, label, at in rows))
    policies = load_policies(POLICIES_FILE)
    import_labels(home, policies, "spam", path, Columns("text", "label", time="at"), name=name, replace=replace)


def sides(made: Dataset) -> dict[bool, tuple[int, int]]:
    """Violating and other rows among the held-out and the training rows."""
    return {side: (int(made.labels[at].sum()), int((~made.labels[at]).sum())) for side, at in
            ((True, made.held_out), (False, ~made.held_out))}  # fmt: skip


ALONE = SPAM.model_copy(update={"corpora": ()})


def test_a_second_file_with_the_same_rows_changes_no_count_and_no_figure(home: Settings, log: Engine) -> None:
    january = [(f"text {i % 90}", i % 3 == 0, f"2026-01-{1 + i % 28:02d}") for i in range(100)]
    own_file(home, january, "january")
    before = dataset(home, log, Frames(), ALONE)
    own_file(home, january, "a copy")
    own_file(home, january, "another copy")
    after = dataset(home, log, Frames(), ALONE)
    assert after.hash == before.hash
    assert (after.rows, after.removed, after.disputed) == (before.rows, before.removed, before.disputed)
    assert card_of(after) == card_of(before)
    own_file(home, [*january, ("new words", True, "2026-02-01")], "all of it")
    more = dataset(home, log, Frames(), ALONE)
    assert len(more.rows) == len(before.rows) + 1
    assert (more.removed, more.disputed) == (before.removed, before.disputed)


def test_texts_with_both_labels_count_once_and_as_disputed(home: Settings, log: Engine) -> None:
    own_file(home, [(f"text {i}", i % 2 == 0, "2026-01-01") for i in range(80)])
    own_file(home, [("text 0", False, "2026-01-02"), ("TEXT 1", False, "2026-01-02")], "later")
    made = dataset(home, log, Frames(), ALONE)
    assert len(made.rows) == 80
    assert made.disputed == 1
    assert [row.violating for row in made.rows if row.text == "text 0"] == [False]


def test_texts_of_a_corpus_that_are_in_a_file_are_left_to_the_file(home: Settings, log: Engine) -> None:
    own_file(home, [("Comment number 7", True, "2026-01-01"), ("comment number 8", True, "2026-01-01")])
    made = dataset(home, log, Frames())
    assert made.sources == {"corpus:youtube-spam": 198, "file:mine": 2}
    assert [row.violating for row in made.rows if row.text == "comment number 8"] == [True]


@pytest.mark.slow
@pytest.mark.parametrize("at", ["", "2026-01-01"])
def test_similar_small_files_all_train(home: Settings, log: Engine, at: str) -> None:
    """Sorted by label, without times or all of one date: neither kind is ever missing on a side of the split."""
    for draw in range(30):
        rows = [(f"text {draw} {i}", i >= 30, at) for i in range(60)]
        own_file(home, rows, replace=True)
        found = sides(dataset(home, log, Frames(), ALONE))
        assert min(found[True]) >= 5
        assert min(found[False]) >= 15


def test_what_is_missing_is_said_before_anything_is_split(home: Settings, log: Engine) -> None:
    own_file(home, [(f"text {i}", i < 12, "2026-01-01") for i in range(41)])
    with pytest.raises(NotEnoughData, match="41 labels, 12 of them violating") as caught:
        dataset(home, log, Frames(), ALONE)
    assert "18 more that are violating and 1 more that is not violating" in caught.value.message
    assert "latest" not in caught.value.message


def test_labels_on_too_few_different_texts_are_refused(home: Settings, log: Engine) -> None:
    for i in range(80):
        say(log, 10 + i, f"p{i}", f"words {i % 2 * i}")
        decide(log, 1_000 + i, f"p{i}", violating=i % 2 == 0)
    with pytest.raises(NotEnoughData, match="9 more different texts that are violating; the minimum"):
        dataset(home, log, Frames(), ALONE)


def test_a_harm_without_text_takes_no_corpus(home: Settings, log: Engine) -> None:
    policy = SPAM.model_copy(update={"text": False})
    with pytest.raises(NotEnoughData, match="0 labels"):
        dataset(home, log, Frames(), policy)


def test_features_are_joined_part_by_part_with_progress(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.joining.JOINED_AT_ONCE", 40)
    contract = contract_for(text=True)
    subjects = [Subject("comment", f"c{i}") for i in range(100)]
    texts, as_of = [f"text {'!' * i}" for i in range(100)], np.arange(START, START + 100)
    matrix = np.empty((101, len(contract.columns)), np.float32)
    matrix[100] = 7.0
    parts, told = Frames(), list[str]()
    join_features(home, contract, subjects, texts, as_of, BUILTIN, frame=parts, into=matrix, tell=told.append)
    np.testing.assert_array_equal(matrix[:100], Frames()(home, contract, subjects, texts, as_of, BUILTIN).matrix)
    assert (matrix[100] == 7.0).all()
    assert parts.as_of == as_of[80:].tolist()
    assert told == [f"joining features, {done} of 100 labels" for done in (0, 40, 80)]


def test_declared_features_are_gathered_once_they_are_live(home: Settings, log: Engine) -> None:
    say(log, 10, "p1", "words")
    decide(log, 20, "p1", violating=True)
    before = dataset(home, log, Frames())
    live = go_live(log)
    made = dataset(home, log, Frames())
    assert (made.feature_set, before.feature_set) == (live, BUILTIN)
    assert set(made.contract.names) == {*before.contract.names, OURS}
    (column,) = [one for one in made.contract.columns if one.definition]
    assert (column.name, column.definition) == (OURS, live.by_name[OURS].definition)
    assert made.features.shape == (len(made.rows), len(made.contract.columns))
    assert {one.column.name for one in made.optional} == {one.column.name for one in before.optional} | {OPTIONAL}
    assert {one.column.name for one in before.optional} == {one.name for one in BUILTIN.stored if not one.default}
    assert [(one.name, one.unit) for one in card_of(made).declared] == [(OURS, "count")]
    assert f"| `{OURS}` | count | reports it made in a day |" in markdown(card_of(made))
    assert "declares" not in markdown(card_of(before))
    some = made.with_features([OPTIONAL, OURS])
    assert some.contract.names == (OPTIONAL, OURS)
    assert some.features.shape == (len(made.rows), 2)
