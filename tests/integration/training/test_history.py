"""What training reads of the log in one pass is what looking at every event, for every harm, would find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from leads import corpora
from leads.clock import Micros
from leads.content import Content, judged_text, newest
from leads.db import event_log
from leads.db.engine import open_engine
from leads.db.event_log import read_all
from leads.db.ingest import ingest
from leads.db.scans import rows as scans
from leads.events import DecisionMade, Event, ItemCreated, Played, SignalReceived, Subject, SubjectRef
from leads.policies import load_policies
from leads.rules import needs_item, touched_by
from leads.settings import POLICIES_FILE, Settings, load_settings
from leads.text import present, text_hash
from simulation.config import Period, SimulationConfig
from simulation.history import simulate
from tests.support.declared import DECLARED
from training.config import DEFAULTS
from training.data.history import History
from training.data.labelled_rows import platform_rows
from training.data.labels import Label

POLICIES = load_policies(POLICIES_FILE)
START = 1_750_000_000_000_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A simulated platform of a few thousand events, whose first comments a corpus has too."""
    folder = tmp_path_factory.mktemp("platform")
    config = SimulationConfig(
        accounts=150, periods=(Period("history", 6),), farm_share=0.2, review_share=0.5, account_review_share=0.3
    )
    simulate(config, folder / "simulation")
    settings = load_settings(home=folder / "home", corpora=folder / "corpora")
    engine = open_engine(settings)
    ingest(engine, folder / "simulation" / "events-history.jsonl", POLICIES, DECLARED)
    texts = [logged.event.body.text for logged in read_all(engine) if isinstance(logged.event.body, ItemCreated)]
    engine.dispose()
    write_corpus(folder / "corpora", [*list(dict.fromkeys(filter(str.isascii, filter(None, texts))))[:20], "elsewhere"])
    return settings


def write_corpus(folder: Path, texts: Iterable[str]) -> None:
    rows = [f'c{i},a,2014-01-01T00:00:{i:02d},"{text}",{i % 2}' for i, text in enumerate(texts) if '"' not in text]
    (folder / "youtube-spam").mkdir(parents=True)
    lines = "\n".join(["COMMENT_ID,AUTHOR,DATE,CONTENT,CLASS", *rows])
    (folder / "youtube-spam" / "01-made.csv").write_text(lines + "\n")


@pytest.fixture
def log(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterable[Engine]:
    monkeypatch.setattr(scans, "_BATCH", 700)
    engine = open_engine(home)
    yield engine
    engine.dispose()


def last_touch(engine: Engine, label: Label) -> Micros | None:
    """When the label's subject was touched last before its verdict, if it existed by then."""
    last, exists = None, not needs_item(label.subject)
    for logged in event_log.read_all(engine, before=label.at):
        if label.subject in touched_by(logged.event):
            exists = exists or isinstance(logged.event.body, ItemCreated)
            last = logged.visible_at if exists else None
    return last


def versions(engine: Engine) -> dict[Subject, list[Content]]:
    found: dict[Subject, list[Content]] = {}
    for logged in event_log.read_kind(engine, "item_created"):
        body = logged.event.body
        assert isinstance(body, ItemCreated)
        version = Content.of(logged.offset, logged.event.occurred_at, logged.visible_at, body)
        found.setdefault(body.subject.subject, []).append(version)
    return found


def test_every_harm_gets_what_it_gets_alone_and_what_the_events_say(home: Settings, log: Engine) -> None:
    together, known = History(home, POLICIES.harms), versions(log)
    for harm, policy in POLICIES.harms.items():
        alone = History(home, {harm: policy})
        found, same = together.scored(log, harm), alone.scored(log, harm)
        assert found.labels == same.labels
        assert found.as_of.tolist() == same.as_of.tolist()
        assert found.never_scored == same.never_scored
        assert together.corpus_texts(log, harm) == alone.corpus_texts(log, harm)
        rows = platform_rows(log, found, DEFAULTS.labels)
        assert [row.order for row in rows] == [label.at for label in found.labels]
        # The whole log for each label: a few of them are enough.
        for label, at, row in list(zip(found.labels, found.as_of.tolist(), rows, strict=True))[::15]:
            assert at == last_touch(log, label), label
            shown = newest(known.get(label.subject, ()), visible_by=at)
            assert row.text == (present(judged_text(shown.item)) if shown else None)
    assert {type_id for harm in POLICIES.harms for type_id, _ in (x.subject for x in together.decided(log, harm))} == {
        "account",
        "comment",
    }


def test_the_log_is_read_once_for_all_harms(home: Settings, log: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(*args: Any, **options: Any) -> Iterator[scans.LogRow]:
        for row in scans.scan(*args, **options):
            read.append(row.offset)
            yield row

    monkeypatch.setattr("training.data.history.scan", counted)
    monkeypatch.setattr("training.data.labels.scan", counted)
    told: list[str] = []
    monkeypatch.setattr("training.data.history._TOLD_EVERY", 1_000)
    history = History(home, POLICIES.harms)
    for harm in POLICIES.harms:
        history.scored(log, harm, told.append)
        history.corpus_texts(log, harm)
    assert len(read) == len(set(read))
    assert told[0].startswith("reading the event log, 1,0")
    assert len(told) == len(read) // 1_000


def test_texts_that_are_on_the_platform_are_not_taken_from_a_corpus(home: Settings, log: Engine) -> None:
    on_platform = {text_hash(one.item.text) for found in versions(log).values() for one in found if one.item.text}
    everything = corpora.read_corpus(Path(str(home.corpora_dir)), "youtube-spam")
    expected = [text for text in everything if text.group not in on_platform]
    assert History(home, POLICIES.harms).corpus_texts(log, "spam") == expected
    assert 0 < len(expected) < len(everything)


def test_events_that_arrive_meanwhile_wait_for_the_next_training(settings: Settings, engine: Engine) -> None:
    def append(at: int, body: ItemCreated | DecisionMade) -> None:
        with engine.begin() as connection:
            event_log.append(connection, "test", [Event(f"e{at}", START + at, body)], clock_=lambda: START + at)

    one = SubjectRef("comment", "c1")
    append(1, ItemCreated(one, "a1", text="first"))
    append(2, DecisionMade(one, "spam", "violating", "human", "r1"))
    history = History(settings, POLICIES.harms)
    assert [label.at for label in history.decided(engine, "spam")] == [START + 2]
    append(3, ItemCreated(one, "a2", text="edited"))
    append(4, DecisionMade(one, "spam", "not_violating", "human", "r1"))
    found = history.scored(engine, "spam")
    before = platform_rows(engine, found, DEFAULTS.labels)
    assert [(row.text, row.violating) for row in before] == [("first", True)]
    assert found.as_of.tolist() == [START + 1]
    fresh = History(settings, POLICIES.harms).scored(engine, "spam")
    after = platform_rows(engine, fresh, DEFAULTS.labels)
    assert [(row.text, row.violating) for row in after] == [("first", True), ("edited", False)]
    assert before[0].maker != after[0].maker


def test_a_scan_knows_what_an_event_touches_and_reads_no_more_than_it_is_asked_for(any_engine: Engine) -> None:
    one, track = SubjectRef("comment", "c1"), SubjectRef("track", "t1")
    bodies = [
        ItemCreated(one, "a1", text="a text"),
        Played(track, "a2", 31.0, "d1"),
        SignalReceived(one, "user_report", "app", reporter_id="a3"),
        DecisionMade(one, "spam", "violating", "human", "r1"),
    ]
    new = [Event(f"e{i}", START + i, body) for i, body in enumerate(bodies)]
    with any_engine.begin() as connection:
        event_log.append(connection, "test", new)
    found = list(scans.scan(any_engine, (*scans.TOUCHING, "decision_made"), up_to=4))
    assert [scans.touched_by_row(row) for row in found] == [touched_by(event) for event in new]
    assert scans.text_of(found[0]) == "a text"
    assert [row.kind for row in scans.scan(any_engine, scans.TOUCHING, after=1, up_to=3)] == [
        "played",
        "signal_received",
    ]
    kinds = [row.kind for row in scans.scan(any_engine, scans.TOUCHING, up_to=4, plays_of=["comment"])]
    assert kinds == ["item_created", "signal_received"]
