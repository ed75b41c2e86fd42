"""Subjects that were never scored are counted, scored on demand alone, and never by computing the rows again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from random import Random

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from leads import clock
from leads.db import cursors, event_log
from leads.db.engine import reading
from leads.db.progress import unscored
from leads.db.progress.unscored import Part
from leads.db.tables import audit, leads
from leads.errors import Conflict, NotFound, Unavailable
from leads.events import Body, ItemCreated, Played, RecordedEvent, SignalReceived, SubjectRef
from leads.files import only_one
from leads.predictions.log import read_predictions
from leads.settings import Settings
from serving.worker import backlog, worker
from serving.worker.backlog import HarmBacklog, find_backlog, score_backlog
from serving.worker.run import chosen_partitions, delete_features, run_once
from tests.support.serving.world import POLICIES, SPAM_TEXT, point_to, publish

AT = clock.from_text("2026-03-01T12:00:00Z")


def comment(name: str, text: str = SPAM_TEXT) -> ItemCreated:
    return ItemCreated(SubjectRef("comment", name), account_id=f"a-{name}", text=text)


def report(name: str) -> SignalReceived:
    return SignalReceived(SubjectRef("comment", name), "user_report", "app", "spam")


class Home:
    """A home whose events are a minute apart."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings, self.engine, self.count = settings, engine, 0

    def send(self, *bodies: Body) -> None:
        events = []
        for body in bodies:
            self.count += 1
            at = AT + self.count * clock.MINUTE
            events.append(RecordedEvent(f"e{self.count}", at, at, body))
        with self.engine.begin() as connection:
            event_log.append_recorded(connection, "test", events)

    def work(self, settings: Settings | None = None) -> tuple[int, int]:
        """Subjects scored and leads opened by `leads worker --once`."""
        settings = settings or self.settings
        done = run_once(settings, chosen_partitions(settings, None))
        return done.scored, done.opened

    def waiting(self, harm: str = "spam") -> list[str]:
        found = find_backlog(self.engine, POLICIES, [harm], self.settings.partitions)
        return [one.subject.id for one in found.get(harm, [])]

    def leads(self) -> list[str]:
        with reading(self.engine) as connection:
            return sorted(connection.execute(sa.select(leads.c.subject_id)).scalars())

    def run(self, **given: object) -> Sequence[HarmBacklog]:
        return score_backlog(self.settings, POLICIES, **given)  # type: ignore[arg-type]


@pytest.fixture
def home(settings: Settings, engine: Engine) -> Home:
    return Home(settings, engine)


@pytest.fixture
def grown(home: Home) -> Home:
    """Four comments before spam has a champion; one of them and a new one are touched afterwards."""
    home.send(comment("c1"), comment("c2"), comment("c3", "lovely song"), comment("c4"), report("unknown"))
    assert home.work() == (0, 0)
    publish(home.settings, "spam")
    home.send(report("c2"), comment("c5"))
    assert home.work() == (2, 2)
    return home


def test_what_nobody_scored_is_known_and_scored_once(grown: Home) -> None:
    assert grown.leads() == ["c2", "c5"]
    assert grown.waiting() == ["c4", "c3", "c1"]
    assert grown.run() == [HarmBacklog("spam", waiting=3, scored=3, opened=2, failed=0, left=0)]
    assert grown.leads() == ["c1", "c2", "c4", "c5"]
    assert grown.waiting() == []
    assert grown.run() == [HarmBacklog("spam", 0, 0, 0, 0, 0)]
    grown.send(comment("c6"))
    assert grown.work() == (1, 1)
    assert grown.waiting() == []


def test_scores_are_as_of_the_last_event_that_the_worker_scored(grown: Home) -> None:
    grown.run()
    table = read_predictions(grown.settings.predictions_dir, "spam")
    newest = AT + grown.count * clock.MINUTE
    assert dict(zip(table["subject_id"].to_pylist(), table["at"].to_pylist(), strict=True))["c1"] == newest
    with reading(grown.engine) as connection:
        entries = connection.execute(sa.select(audit.c.at, audit.c.action).where(audit.c.subject_id == "c1")).all()
    assert entries == [(newest, "offered")]


def test_it_can_be_limited_and_goes_on_with_older_subjects(grown: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert grown.run(limit=1) == [HarmBacklog("spam", 3, 1, 1, 0, 2)]
    assert grown.leads() == ["c2", "c4", "c5"]
    assert grown.run(since=AT + 3 * clock.MINUTE) == [HarmBacklog("spam", 2, 1, 0, 0, 1)]
    assert grown.waiting() == ["c1"]
    assert grown.run() == [HarmBacklog("spam", 1, 1, 1, 0, 0)]


def test_when_interrupted_it_continues_with_the_rest(grown: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "_CHUNK", 1)
    score = backlog.LeadScorer.score
    calls = []

    def fails_at_second(self: object, subjects: Sequence[object], at: int, **given: object) -> object:
        calls.append(subjects)
        if len(calls) == 2:
            raise Unavailable("The online store doesn't respond.")
        return score(self, subjects, at, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(backlog.LeadScorer, "score", fails_at_second)
    with pytest.raises(Unavailable):
        grown.run()
    assert grown.waiting() == ["c3", "c1"]
    assert grown.run() == [HarmBacklog("spam", 2, 2, 1, 0, 0)]


def test_a_play_touches_two_subjects_that_stay_in_one_batch(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "_CHUNK", 1)
    harm = "stream_manipulation"
    track = SubjectRef("track", "t1")
    home.send(ItemCreated(track, account_id="artist"), Played(track, "listener", 31.0))
    home.work()
    publish(home.settings, harm)
    types = POLICIES.harm(harm).subject_types
    assert set(home.waiting(harm)) == ({"listener"} if types == ("account",) else {"t1", "listener"})
    (done,) = home.run(harms=[harm], limit=1)
    assert (done.left, home.waiting(harm)) == (0, [])


def test_a_time_without_a_champion_is_known_too(grown: Home) -> None:
    grown.run()
    point_to(grown.settings, "spam", None)
    grown.send(comment("c6"), comment("c7"))
    grown.work()
    point_to(grown.settings, "spam", "1")
    grown.send(report("c7"))
    assert grown.work() == (1, 1)
    assert grown.waiting() == ["c6"]
    assert grown.run() == [HarmBacklog("spam", 1, 1, 1, 0, 0)]


def test_a_harm_whose_champion_is_damaged_is_named_and_scored_later(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker scores the other harms, says once why this one is missing, and knows what was missed."""
    monkeypatch.setattr(worker, "_CHUNK", 1)
    publish(home.settings, "spam")
    booster = publish(home.settings, "sexism") / "booster.ubj"
    whole = booster.read_bytes()
    booster.write_bytes(whole[:-9])
    home.send(comment("c1"), comment("c2"))
    with caplog.at_level(logging.INFO, logger="serving.worker.lead_scoring"):
        assert home.work() == (2, 2)
    (said,) = [message for message in caplog.messages if "could not be scored" in message]
    assert said.startswith("1 subject could not be scored for sexism; the first error: Version 1 of sexism is damaged")
    assert home.waiting("sexism") == ["c2", "c1"]
    of_spam, of_sexism = home.run()
    assert of_spam == HarmBacklog("spam", 0, 0, 0, 0, 0)
    assert (of_sexism.harm, of_sexism.scored) == ("sexism", 0)
    assert str(of_sexism.error).startswith("Version 1 of sexism is damaged")
    for harms in (["sexism"], ["spam", "sexism"]):
        with pytest.raises(Unavailable, match="Version 1 of sexism is damaged"):
            home.run(harms=harms)
    booster.write_bytes(whole)
    assert [(one.harm, one.scored, one.error) for one in home.run()] == [("spam", 0, None), ("sexism", 2, None)]


def test_events_that_arrive_during_a_run_are_scored_by_the_next(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(home.settings, "spam")
    home.send(comment("c1"))
    from features.materialize import Materializer

    flush = Materializer.flush

    def late(self: Materializer) -> None:
        flush(self)
        if home.count == 1:
            home.send(comment("c2"))

    monkeypatch.setattr(Materializer, "flush", late)
    assert home.work() == (1, 1)
    assert home.work() == (1, 1)
    assert home.leads() == ["c1", "c2"]


@pytest.mark.parametrize("partitions", [1, 3])
def test_computing_the_rows_again_opens_no_leads_on_old_items(grown: Home, partitions: int) -> None:
    settings = grown.settings.model_copy(update={"partitions": partitions})
    assert delete_features(settings) == 7
    with pytest.raises(Conflict, match="computed again"):
        score_backlog(settings, POLICIES)
    assert grown.work(settings) == (0, 0)
    assert grown.leads() == ["c2", "c5"]
    grown.send(comment("c6"))
    assert grown.work(settings) == (1, 1)
    found = find_backlog(grown.engine, POLICIES, ["spam"], partitions)
    assert [one.subject.id for one in found["spam"]] == ["c4", "c3", "c1"]
    # And back.
    delete_features(grown.settings)
    assert grown.work() == (0, 0)
    assert grown.waiting() == ["c4", "c3", "c1"]
    assert [one.left for one in grown.run()] == [0]


def test_rows_are_not_deleted_under_a_worker_of_another_number_of_partitions(grown: Home) -> None:
    settings = grown.settings.model_copy(update={"partitions": 2})
    with only_one(grown.settings.root / "worker-0of1.lock", what="testing"), pytest.raises(Conflict, match="a worker"):
        delete_features(settings)
    assert delete_features(settings) == 7


def test_a_harm_without_champion_is_refused(grown: Home) -> None:
    with pytest.raises(NotFound, match="no champion"):
        grown.run(harms=["stream_manipulation"])
    with pytest.raises(NotFound, match="spma"):
        grown.run(harms=["spma"])
    point_to(grown.settings, "spam", None)
    with pytest.raises(NotFound, match="No harm has a champion"):
        grown.run()


def test_harms_that_are_no_longer_declared_are_left_out(grown: Home) -> None:
    policies = POLICIES.model_copy(update={"harms": {"harassment": POLICIES.harm("harassment")}})
    assert find_backlog(grown.engine, policies, ["spam"], 1) == {}


def test_the_commands_say_what_was_never_scored(grown: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_HOME", str(grown.settings.root))
    runner = CliRunner()

    def said(*command: str) -> str:
        result = runner.invoke(app, list(command))
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    assert "never scored spam: 3 subjects" in said("status")
    with monkeypatch.context() as patch:
        patch.setattr("cli.ui.worker._QUICK", 6)
        assert "never scored spam: subjects of events up to 5, unless a later event touched them" in said("status")
    assert "got its first champion: spam (3 subjects)" in said("worker", "--once")
    dry = said("score-backlog", "--dry-run")
    assert "spam 3 2026-03-01 12:01 2026-03-01 12:04" in dry
    assert grown.leads() == ["c2", "c5"]
    assert "spam 1 1 0 2" in said("score-backlog", "--harm", "spam", "--limit", "1")
    assert "spam 2 1 0 0" in said("score-backlog")
    assert "Every subject that can be scored was scored." in said("score-backlog")
    assert "never scored" not in said("status")
    assert "up to 7 are not scored again" in said("worker", "--rebuild", "--once")


def test_parts_are_joined_and_shortened(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        unscored.begin(connection, ["spam", "scam"], 0)
        assert unscored.parts(connection) == {}
        assert unscored.known(connection) == {"spam", "scam"}
        unscored.extend(connection, ["spam"], Part(0, 10))
        unscored.extend(connection, ["spam", "scam"], Part(10, 20))
        unscored.extend(connection, ["spam"], Part(30, 40))
        unscored.extend(connection, ["spam"], Part(35, 38))
        assert unscored.parts(connection) == {"spam": [Part(0, 20), Part(30, 40)], "scam": [Part(10, 20)]}
        unscored.shorten(connection, "spam", 33)
        assert unscored.parts(connection)["spam"] == [Part(0, 20), Part(30, 33)]
        unscored.shorten(connection, "spam", 15)
        assert unscored.parts(connection)["spam"] == [Part(0, 15)]
        unscored.shorten(connection, "spam", 0)
        assert unscored.parts(connection) == {"scam": [Part(10, 20)]}
        assert unscored.known(connection) == {"spam", "scam"}


def test_new_partitions_start_where_the_previous_ones_were(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        assert cursors.begin_rebuild(connection, 1) == 0
        cursors.move(connection, cursors.scored_name(0, 1), 50)
        assert cursors.begin_rebuild(connection, 2) == 50
        assert [cursors.position(connection, cursors.scored_name(i, 2)) for i in range(2)] == [50, 50]
        cursors.move(connection, cursors.scored_name(0, 2), 90)
        cursors.move(connection, cursors.scored_name(1, 2), 80)
        assert cursors.begin_rebuild(connection, 1) == 80
        assert cursors.scored(connection, 1) == 80
        assert cursors.rebuilding(connection, 1)
        assert cursors.begin_rebuild(connection, 2) == 80


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_backlog_is_what_no_worker_has_predicted(
    home: Home, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random histories: champions come and go, rows are computed again by other partitions, backlogs are scored."""
    monkeypatch.setattr(backlog, "_CHUNK", 2)
    random = Random(seed)
    publish(home.settings, "spam")
    partitions, created, serves = 1, set[str](), True

    def settings() -> Settings:
        return home.settings.model_copy(update={"partitions": partitions})

    for _ in range(14):
        action = random.random()
        if action < 0.25:
            serves = not serves
            point_to(home.settings, "spam", "1" if serves else None)
        elif action < 0.4:
            partitions = random.choice([1, 2, 3])
            delete_features(settings())
        for _ in range(random.randrange(4)):
            name = f"c{random.randrange(20)}"
            if random.random() < 0.5:
                created.add(name)
                home.send(comment(name, random.choice([SPAM_TEXT, "lovely"])))
            else:
                home.send(report(name))
        home.work(settings())
        predicted = set(read_predictions(home.settings.predictions_dir, "spam")["subject_id"].to_pylist())
        found = find_backlog(home.engine, POLICIES, ["spam"], partitions).get("spam", [])
        assert {one.subject.id for one in found} == created - predicted
        assert [one.offset for one in found] == sorted((one.offset for one in found), reverse=True)
        if serves and random.random() < 0.3:
            limit = random.choice([1, 3, None])
            (done,) = score_backlog(settings(), POLICIES, limit=limit)
            predicted = set(read_predictions(home.settings.predictions_dir, "spam")["subject_id"].to_pylist())
            assert done.left == len(created - predicted)
            assert limit is not None or not done.left
