"""The event log on both databases: order, duplicates, clocks, and queries that use the indices."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import cursors, event_log, subject_events
from leads.db.engine import reading
from leads.db.event_log import Head
from leads.db.items import current_items
from leads.db.tables import LEGACY_SENDER, events
from leads.errors import Conflict, InvalidInput
from leads.events import (
    DecisionMade,
    Event,
    ItemCreated,
    LoggedEvent,
    Played,
    RecordedEvent,
    SignalReceived,
    Subject,
    SubjectRef,
)

AT = 1_780_000_000_000_000


def comment(number: int, *, at: int = AT, subject: str = "c1", text: str = "") -> Event:
    return Event(f"e{number}", at, ItemCreated(SubjectRef("comment", subject), account_id="a1", text=text))


def play(number: int, *, subject: str = "c1") -> Event:
    return Event(f"p{number}", AT, Played(SubjectRef("comment", subject), "a1", 31.0))


def report(number: int, *, subject: str = "c1") -> Event:
    return Event(f"r{number}", AT, SignalReceived(SubjectRef("comment", subject), "user_report", "app"))


def decision(number: int, *, subject: str = "c1") -> Event:
    return Event(f"d{number}", AT, DecisionMade(SubjectRef("comment", subject), "spam", "violating", "human", "r1"))


def append(engine: Engine, *events: Event, now: int = AT) -> event_log.Appended:
    with engine.begin() as connection:
        return event_log.append(connection, "test", events, clock_=lambda: now)


def offsets(logged: Sequence[LoggedEvent]) -> list[int]:
    return [one.offset for one in logged]


def test_an_empty_log(any_engine: Engine) -> None:
    with reading(any_engine) as connection:
        assert event_log.head(connection) == Head(0, 0)
        assert current_items(connection, [Subject("comment", "c1")]) == {}
        assert subject_events.signals(connection, Subject("comment", "c1")) == []
    assert event_log.read(any_engine, 0) == []
    assert append(any_engine) == (0, 0, Head(0, 0))


def test_events_are_read_in_order_as_they_were_sent(any_engine: Engine) -> None:
    sent = [comment(1, text="one"), play(1), report(1), decision(1)]
    appended = append(any_engine, *sent)
    assert appended == (4, 0, Head(4, AT + 3))
    logged = event_log.read(any_engine, 0)
    assert [one.event for one in logged] == sent
    assert offsets(logged) == [1, 2, 3, 4]
    assert [one.visible_at for one in logged] == [AT, AT + 1, AT + 2, AT + 3]
    assert offsets(event_log.read(any_engine, 1, limit=2)) == [2, 3]
    assert event_log.read(any_engine, 4) == []


def test_an_event_sent_again_changes_nothing(any_engine: Engine) -> None:
    first = append(any_engine, comment(1, text="first"), comment(2), comment(1, text="first"))
    assert (first.accepted, first.duplicates) == (2, 1)
    second = append(any_engine, comment(3), comment(1, text="first"), comment(2), now=AT + 50)
    assert second == (1, 2, Head(3, AT + 50))
    assert append(any_engine, comment(2), now=AT + 99) == (0, 1, Head(3, AT + 50))
    logged = event_log.read(any_engine, 0)
    assert [one.event.id for one in logged] == ["e1", "e2", "e3"]
    assert logged[0].event == comment(1, text="first")


def test_an_id_with_other_content_is_a_conflict_that_names_it(any_engine: Engine) -> None:
    append(any_engine, comment(1, text="first"), comment(2))
    for others in (
        (comment(3), comment(1, text="other")),
        (comment(3), comment(1, text="first", at=AT - 1)),
        (comment(3), comment(3, text="twice in one call")),
    ):
        with pytest.raises(Conflict) as refused:
            append(any_engine, *others)
        assert refused.value.field == "/1/id"
        assert others[1].id in refused.value.message
    with pytest.raises(Conflict, match="In all, 2 entries are wrong") as refused:
        append(any_engine, comment(1, text="x"), comment(3), comment(2, text="x"))
    assert [fault.field for fault in refused.value.faults] == ["/0/id", "/2/id"]
    assert len(event_log.read(any_engine, 0)) == 2


def test_two_senders_may_use_the_same_id(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        assert event_log.append(connection, "one", [comment(1, text="a")], clock_=lambda: AT).accepted == 1
        assert event_log.append(connection, "two", [comment(1, text="b")], clock_=lambda: AT).accepted == 1
        assert event_log.append(connection, "two", [comment(1, text="b")], clock_=lambda: AT).duplicates == 1
    assert [one.event.id for one in event_log.read(any_engine, 0)] == ["e1", "e1"]


def test_the_time_counts_only_where_both_stated_it(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        for at in (AT, AT + 7):
            event_log.append(connection, "one", [comment(1, at=at)], untimed=["e1"], clock_=lambda: AT + 9)
        event_log.append(connection, "one", [comment(1, at=AT - 5)], clock_=lambda: AT + 9)
    assert [one.event.occurred_at for one in event_log.read(any_engine, 0)] == [AT]


def test_an_id_from_before_senders_were_kept_is_still_known(any_engine: Engine) -> None:
    append(any_engine, comment(1, text="old"))
    with any_engine.begin() as connection:
        connection.execute(sa.update(events).values(sender=LEGACY_SENDER, body_hash=None))
        assert event_log.append(connection, "new", [comment(1, text="old")], clock_=lambda: AT).duplicates == 1
        untimed = event_log.append(connection, "new", [comment(1, at=AT + 4, text="old")], untimed=["e1"])
        assert untimed.duplicates == 1
        for other in (comment(1, text="new"), comment(1, at=AT + 4, text="old")):
            with pytest.raises(Conflict):
                event_log.append(connection, "new", [other])


def test_our_own_events_say_when_they_are_there_already(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        assert event_log.append_own(connection, decision(1), clock_=lambda: AT) == 1
        with pytest.raises(Conflict, match="in the log already"):
            event_log.append_own(connection, decision(1), clock_=lambda: AT)


def test_visible_at_rises_though_the_clock_steps_back(any_engine: Engine) -> None:
    for number, now in enumerate((AT, AT - clock.HOUR, AT, AT + 1, AT - 1, AT + clock.SECOND)):
        sent = (comment(2 * number + i, at=AT - clock.DAY) for i in range(2))
        append(any_engine, *sent, now=now)
    visible = [one.visible_at for one in event_log.read(any_engine, 0)]
    assert visible == sorted(set(visible))
    assert visible[-2] == AT + clock.SECOND


def test_the_future_is_refused_and_changes_nothing(any_engine: Engine) -> None:
    late = comment(2, at=AT + event_log.MAX_CLOCK_SKEW + 1)
    with pytest.raises(InvalidInput) as refused:
        append(any_engine, comment(1), late)
    assert refused.value.field == "/1/occurred_at"
    assert event_log.read(any_engine, 0) == []
    assert append(any_engine, comment(1, at=AT + event_log.MAX_CLOCK_SKEW)).accepted == 1


def test_a_transaction_that_fails_leaves_nothing(any_engine: Engine) -> None:
    with any_engine.connect() as connection:
        transaction = connection.begin()
        event_log.append(connection, "test", [comment(1)], clock_=lambda: AT)
        transaction.rollback()
    assert event_log.read(any_engine, 0) == []
    assert append(any_engine, comment(2)).head == Head(1, AT)


def recorded(number: int, visible_at: int, occurred_at: int | None = None) -> RecordedEvent:
    return RecordedEvent(f"e{number}", occurred_at or visible_at, visible_at, comment(number).body)


def test_a_history_keeps_its_own_times(any_engine: Engine) -> None:
    day = AT - 30 * clock.DAY
    history = [recorded(1, day), recorded(2, day), recorded(3, day - 5), recorded(4, day + 9, day - clock.HOUR)]
    with any_engine.begin() as connection:
        event_log.append_recorded(connection, "test", history, clock_=lambda: AT)
    logged = event_log.read(any_engine, 0)
    assert [one.visible_at for one in logged] == [day, day + 1, day + 2, day + 9]
    assert logged[3].event.occurred_at == day - clock.HOUR


@pytest.mark.parametrize(
    "bad",
    [
        recorded(2, AT + event_log.MAX_CLOCK_SKEW + 1),
        recorded(2, AT - clock.DAY, AT - clock.DAY + event_log.MAX_CLOCK_SKEW + 1),
    ],
)
def test_an_impossible_history_is_refused(engine: Engine, bad: RecordedEvent) -> None:
    with pytest.raises(InvalidInput) as refused, engine.begin() as connection:
        event_log.append_recorded(connection, "test", [recorded(1, AT), bad], clock_=lambda: AT)
    assert refused.value.field == "/1/visible_at"
    assert event_log.read(engine, 0) == []


def test_what_is_known_of_subjects(any_engine: Engine) -> None:
    append(any_engine, comment(1, text="old"), report(1), play(1), comment(2, text="new"), decision(1), report(3))
    append(any_engine, comment(3, subject="c2", text="other"), report(2, subject="c2"), decision(2))
    one, two, unknown = Subject("comment", "c1"), Subject("comment", "c2"), Subject("track", "c1")
    with reading(any_engine) as connection:
        items = current_items(connection, [one, two, unknown])
        assert {subject: item.text for subject, item in items.items()} == {one: "new", two: "other"}
        assert [logged.event.id for logged in subject_events.signals(connection, one)] == ["r1", "r3"]
        assert [logged.event.id for logged in subject_events.signals(connection, one, limit=1)] == ["r3"]
        assert {s: len(found) for s, found in subject_events.decisions(connection, [one, two]).items()} == {one: 2}


def test_a_kind_is_streamed_up_to_an_instant(any_engine: Engine) -> None:
    append(any_engine, *(event for n in range(20) for event in (decision(n), play(n))))
    assert offsets(list(event_log.read_kind(any_engine, "decision_made"))) == list(range(1, 40, 2))
    assert offsets(list(event_log.read_kind(any_engine, "decision_made", up_to=AT + 4))) == [1, 3, 5]
    assert list(event_log.read_kind(any_engine, "signal_received")) == []


def test_cursors_move(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        assert cursors.position(connection, "fold") == 0
        cursors.move(connection, "fold", 7)
        cursors.move(connection, "scored", 3)
        cursors.move(connection, "fold", 9)
    with reading(any_engine) as connection:
        assert (cursors.position(connection, "fold"), cursors.position(connection, "scored")) == (9, 3)


def test_a_tailing_reader_skips_nothing_while_several_append(any_engine: Engine) -> None:
    failures: list[BaseException] = []

    def work(name: int) -> None:
        random_ = random.Random(name)
        try:
            for batch in range(15):
                events = [
                    comment(name * 10_000 + batch * 10 + i, subject=f"s{name}") for i in range(random_.randint(1, 9))
                ]
                with any_engine.begin() as connection:
                    event_log.append(connection, "test", events, clock_=lambda: AT + random_.randint(-1_000, 1_000))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    seen: list[LoggedEvent] = []
    running = True
    while running:
        running = any(thread.is_alive() for thread in threads)
        seen += event_log.read(any_engine, seen[-1].offset if seen else 0, limit=7)
    while more := event_log.read(any_engine, seen[-1].offset):
        seen += more
    assert failures == []
    assert offsets(seen) == list(range(1, len(seen) + 1))
    assert all(a.visible_at < b.visible_at for a, b in pairwise(seen))
    with reading(any_engine) as connection:
        assert event_log.head(connection) == Head(seen[-1].offset, seen[-1].visible_at)


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """What is sent to the database meanwhile."""
    sent: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, _x: object, _many: bool) -> None:
        if statement.startswith(("SELECT", "WITH")):
            sent.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    yield sent
    sa.event.remove(engine, "before_cursor_execute", note)


def plan(engine: Engine, statement: str, parameters: Any) -> str:
    lite = engine.dialect.name == "sqlite"
    with reading(engine) as connection:
        if not lite:
            # So small a table is scanned whatever indices it has.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = ("EXPLAIN QUERY PLAN " if lite else "EXPLAIN ") + statement
        return "\n".join(str(row) for row in connection.exec_driver_sql(explain, parameters))


def test_look_ups_use_the_indices(any_engine: Engine) -> None:
    append(any_engine, *(event for n in range(50) for event in (comment(n, subject=f"c{n}"), play(n), report(n))))
    subjects = [Subject("comment", f"c{n}") for n in range(5)]
    with statements(any_engine) as sent, reading(any_engine) as connection:
        subject_events.signals(connection, subjects[0], limit=3)
        subject_events.decisions(connection, subjects)
    with statements(any_engine) as held, reading(any_engine) as connection:
        current_items(connection, subjects)
    with statements(any_engine) as streamed:
        list(event_log.read_kind(any_engine, "decision_made"))
    with statements(any_engine) as tailed:
        event_log.read(any_engine, 100)
    assert (len(sent), len(held), len(streamed), len(tailed)) == (2, 1, 1, 1)
    for statement, parameters in sent:
        assert "ix_events_subject" in plan(any_engine, statement, parameters), statement
    by_version = "SEARCH v USING PRIMARY KEY" if any_engine.dialect.name == "sqlite" else "item_versions_pkey"
    assert by_version in plan(any_engine, *held[0])
    assert "ix_events_kind_offset" in plan(any_engine, *streamed[0])
    by_key = "INTEGER PRIMARY KEY" if any_engine.dialect.name == "sqlite" else "events_pkey"
    found = plan(any_engine, *tailed[0])
    assert by_key in found or "sqlite_autoindex_events" in found
    assert "SCAN" not in found or any_engine.dialect.name != "sqlite"
