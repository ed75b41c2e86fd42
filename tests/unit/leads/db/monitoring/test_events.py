"""The event log by the hour, on both databases."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log
from leads.db.engine import reading
from leads.db.event_ids import OWN_SENDER
from leads.db.monitoring import events
from leads.db.monitoring.events import SIGNAL, EventHour
from leads.db.scans.times import offset_before
from leads.events import Body, Event, ItemCreated, Played, RecordedEvent, SignalReceived, Subject, SubjectRef

START = clock.from_text("2026-03-01T12:00:00Z")
COMMENT = SubjectRef("comment", "c1")


class Log:
    """An event log that a test fills, each event an hour's fraction after the last."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._n = engine, 0

    def add(self, at: int, body: Body, *, sender: str = "app", late: int = 0) -> None:
        self._n += 1
        record = RecordedEvent(f"e{self._n}", at - late, at, body)
        with self._engine.begin() as connection:
            event_log.append_recorded(connection, sender, [record], clock_=lambda: at)

    def own(self, at: int, body: Body) -> None:
        self._n += 1
        with self._engine.begin() as connection:
            event_log.append(connection, OWN_SENDER, [Event(f"e{self._n}", at, body)], clock_=lambda: at)

    def hour(self, since: int, until: int) -> EventHour:
        with reading(self._engine) as connection:
            return events.read(connection, since, until)


def report(subject: str, reporter: str, *, source: str = "app", harm: str = "spam") -> SignalReceived:
    return SignalReceived(SubjectRef("comment", subject), "user_report", source, harm, reporter)


def test_a_time_finds_its_place_in_the_log(any_engine: Engine) -> None:
    with reading(any_engine) as connection:
        assert offset_before(connection, START) == 0
    log = Log(any_engine)
    for i in range(10):
        log.add(START + i * clock.MINUTE, ItemCreated(COMMENT))
    with reading(any_engine) as connection:
        found = [offset_before(connection, START + i * clock.MINUTE) for i in range(12)]
        assert found == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]
        assert offset_before(connection, START + 1) == 1


def test_feeds_are_counted_by_kind_and_source(any_engine: Engine) -> None:
    log = Log(any_engine)
    log.add(START - 1, ItemCreated(COMMENT))
    for i in range(5):
        log.add(START + i, ItemCreated(COMMENT))
    log.add(START + 10, Played(SubjectRef("track", "t1"), "a1", 30.0), sender="player")
    log.add(START + 11, report("c1", "a2", source="partner"))
    log.own(START + 12, ItemCreated(COMMENT))
    log.add(START + clock.HOUR, ItemCreated(COMMENT))
    hour = log.hour(START, START + clock.HOUR)
    assert hour.counts == {("item_created", "app"): 5, ("played", "player"): 1, (SIGNAL, "partner"): 1}
    assert hour.total == 7


def test_delays_are_known_of_each_source(any_engine: Engine) -> None:
    log = Log(any_engine)
    for i in range(300):
        log.add(START + i, ItemCreated(COMMENT), late=clock.MINUTE)
    log.add(START + 400, report("c1", "a1", source="partner"), late=clock.DAY)
    delays = log.hour(START, START + clock.HOUR).delays
    assert set(delays) == {"app", "partner"}
    assert len(delays["app"]) == 200
    assert delays["app"].max() * clock.HOUR == clock.MINUTE
    assert delays["partner"].tolist() == [24.0]


def test_a_reporter_counts_once_for_each_subject(any_engine: Engine) -> None:
    log = Log(any_engine)
    for i in range(6):
        log.add(START + i, report("c1", f"a{i % 3}"))
    log.add(START + 7, report("c2", "a1"))
    log.add(START + 8, report("c2", "a1", harm="sexism"))
    reports = log.hour(START, START + clock.HOUR).reports
    assert reports["spam"].pairs == 4
    assert reports["spam"].most == ((Subject("comment", "c1"), 3), (Subject("comment", "c2"), 1))
    assert reports["sexism"].pairs == 1


def test_earlier_hours_are_counted_from_the_first_whole_one(any_engine: Engine) -> None:
    log = Log(any_engine)
    for i in range(8):
        log.add(START + i * clock.HOUR // 2 + clock.MINUTE, ItemCreated(COMMENT))
    log.add(START + 4 * clock.HOUR, report("c1", "a1"))
    until = START + 6 * clock.HOUR
    with reading(any_engine) as connection:
        found = events.hourly_counts(connection, START - clock.DAY, until, most=1_000)
        few = events.hourly_counts(connection, START - clock.DAY, until, most=4)
        later = events.hourly_counts(connection, START + 2 * clock.HOUR, until, most=1_000)
        none = events.hourly_counts(connection, until, until + clock.HOUR, most=1_000)
    hours = [START + i * clock.HOUR for i in range(1, 6)]
    assert list(found) == hours
    assert [sum(counts.values()) for counts in found.values()] == [2, 2, 2, 1, 0]
    assert found[hours[3]] == {(SIGNAL, "app"): 1}
    assert list(few) == hours[2:]
    assert list(later) == hours[1:]
    assert none == {until: {}}
