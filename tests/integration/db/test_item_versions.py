"""The order of item versions: always what `leads.content.newest` says, whoever appended the events."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.content import Content, newest, ref_of
from leads.db import event_log
from leads.db.content import filling, upkeep
from leads.db.content import kept as kept_connections
from leads.db.content.stored_items import StoredItems
from leads.db.engine import open_engine, reading
from leads.db.items import contents, current_contents, current_items, judged_contents, named_contents
from leads.db.tables import item_versions, log_head
from leads.errors import Conflict
from leads.events import ContentRef, DecisionMade, Event, ItemCreated, LoggedEvent, Played, Subject, SubjectRef
from leads.settings import load_settings

AT = 1_780_000_000_000_000
SUBJECTS = [Subject("comment", "c1"), Subject("comment", "c2"), Subject("track", "c1"), Subject("comment", "never")]


class History:
    """Random edits of a few subjects: late, at equal times, in the future, and repeated."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.random = random.Random(seed)
        self.count = 0

    def event(self) -> Event:
        self.count += 1
        subject = self.random.choice(SUBJECTS[:-1])
        ref = SubjectRef(subject.type_id, subject.id)
        at = AT + self.count * 10 + self.random.choice([0, 0, 5, 40, -30, -30, -300, -self.count * 10])
        if self.random.random() < 0.2:
            return Event(f"p{self.count}", at, Played(ref, "a1", 31.0))
        return Event(f"e{self.count}", at, ItemCreated(ref, account_id="a1", text=f"text {self.random.randint(0, 9)}"))

    def append(self) -> None:
        new = [self.event() for _ in range(self.random.randint(1, 6))]
        with self.engine.begin() as connection:
            event_log.append(connection, "test", new, clock_=lambda: AT + self.count * 10)


@contextmanager
def older_release() -> Iterator[None]:
    """Appends leave the table as it is, as in a release that doesn't know it."""

    def nothing(_: Connection, __: Sequence[LoggedEvent], *, before: int, complete_to: int) -> int:
        return complete_to

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_log, "keep_up", nothing)
        yield


def decision(subject: Subject, offset: int, visible_at: Micros, content: ContentRef | None = None) -> LoggedEvent:
    ref = SubjectRef(subject.type_id, subject.id)
    body = DecisionMade(ref, "spam", "violating", "human", "r1", content=content)
    return LoggedEvent(offset, visible_at, Event(f"d{offset}", visible_at, body))


def check(engine: Engine, *kept: StoredItems[ItemCreated]) -> None:
    """Every reader agrees with the rule, applied to all versions, also one that has read earlier versions."""
    with reading(engine) as connection:
        versions = contents(connection, SUBJECTS)
        expected = {subject: newest(its) for subject, its in versions.items()}
        assert current_contents(connection, SUBJECTS) == expected
        items = {subject: held.item for subject, held in expected.items() if held}
        assert current_items(connection, SUBJECTS) == items
        for reader in (StoredItems(engine, lambda item: item), *kept):
            assert reader.of(SUBJECTS) == items
            confirm(reader, items)
        log = event_log.read(engine, 0)
        for subject in SUBJECTS:
            its = versions.get(subject, [])
            decisions = [decision(subject, logged.offset + 1, logged.visible_at) for logged in log]
            assert judged_contents(connection, decisions) == {
                x.offset: ref_of(newest(its, visible_by=x.visible_at)) for x in decisions
            }
            names = {(subject, one.ref): one for one in its}
            assert named_contents(connection, names) == names


def confirm(reader: StoredItems[ItemCreated], items: Mapping[Subject, ItemCreated]) -> None:
    """What is in memory is confirmed only if it is current."""
    asked = reader.ask(items)
    if asked is not None:
        with asked:
            assert not asked.confirmed() or asked.remembered == items
    assert reader.promptly(SUBJECTS) in (None, items)


def covered(engine: Engine) -> tuple[int, int]:
    """The log's last offset, and up to where the table is complete."""
    with reading(engine) as connection:
        return tuple(connection.execute(sa.select(log_head.c.offset, log_head.c.item_versions_to)).one())


@pytest.mark.parametrize("seed", range(4))
def test_readers_follow_the_rule_whoever_appends(
    any_engine: Engine, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_PER_APPEND", 3)
    monkeypatch.setattr(kept_connections, "_PROMPT_AFTER", 1)
    history = History(any_engine, seed)
    behind = 0
    kept = StoredItems(any_engine, lambda item: item)
    check(any_engine, kept)
    for _ in range(25):
        if history.random.random() < 0.4:
            with older_release():
                history.append()
        else:
            history.append()
        last, reached = covered(any_engine)
        behind += reached < last
        check(any_engine, kept)
    assert behind > 3


def test_the_table_has_every_version_once(any_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_PER_APPEND", 3)
    history = History(any_engine, 9)
    for turn in range(20):
        if turn % 4:
            history.append()
        else:
            with older_release():
                history.append()
    while len(set(covered(any_engine))) > 1:
        history.append()
    with reading(any_engine) as connection:
        stored = connection.execute(sa.select(item_versions)).all()
        every = contents(connection, SUBJECTS)
    expected = sorted((*subject, one.at, one.offset) for subject, its in every.items() for one in its)
    assert sorted(map(tuple, stored)) == expected


def test_filling_goes_on_where_it_was_stopped(any_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_BATCH", 7)
    history = History(any_engine, 5)
    with older_release():
        for _ in range(20):
            history.append()
    last, reached = covered(any_engine)
    assert reached == 0

    class Killed(Exception):
        pass

    def kill(_: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        filling.complete(any_engine, on_progress=kill)
    check(any_engine)
    assert 0 < covered(any_engine)[1] < last
    told: list[int] = []
    with reading(any_engine) as connection:
        total = filling.missing(connection)
    filling.complete(any_engine, on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == total
    assert covered(any_engine) == (last, last)
    check(any_engine)


def test_an_append_that_is_refused_changes_nothing(any_engine: Engine) -> None:
    history = History(any_engine, 1)
    history.append()
    before = covered(any_engine)
    ref = SubjectRef("comment", "c1")
    same = [Event("same", AT, ItemCreated(ref, text="one")), Event("same", AT, ItemCreated(ref, text="two"))]
    with pytest.raises(Conflict), any_engine.begin() as connection:
        event_log.append(connection, "test", same, clock_=lambda: AT + 1_000)
    assert covered(any_engine) == before
    check(any_engine)


def test_a_name_must_have_the_offset_and_the_hash_of_one_version(any_engine: Engine) -> None:
    one, two = SUBJECTS[:2]
    new = [Event(f"e{i}", AT, ItemCreated(SubjectRef(*subject), text=f"t{i}")) for i, subject in enumerate((one, two))]
    with any_engine.begin() as connection:
        event_log.append(connection, "test", new, clock_=lambda: AT)
    with reading(any_engine) as connection:
        held = {subject: content.ref for subject, content in current_contents(connection, [one, two]).items()}
        forged = [ContentRef(held[one].offset, held[two].hash), held[two], ContentRef(9, held[one].hash), ref_of(None)]
        assert named_contents(connection, [(one, ref) for ref in forged]) == {}
        found = named_contents(connection, [(one, held[one]), (one, forged[0])])
        assert [type(content) for content in found.values()] == [Content]


def edit(engine: Engine, subject: Subject, text: str, n: int) -> None:
    body = ItemCreated(SubjectRef(subject.type_id, subject.id), account_id="a1", text=text)
    with engine.begin() as connection:
        event_log.append(connection, "test", [Event(f"{subject.key}{n}", AT + n, body)], clock_=lambda: AT + n)


@pytest.fixture
def postgresql(migrated_postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("home")
    opened = open_engine(load_settings(home=home, corpora="", database_url=migrated_postgresql_url), timeout_s=30)
    yield opened
    opened.dispose()


def test_a_prompt_server_is_asked_whether_what_is_in_memory_is_current(postgresql: Engine) -> None:
    items = StoredItems(postgresql, lambda item: item.text)
    first, other = SUBJECTS[:2]
    edit(postgresql, first, "one", 1)
    edit(postgresql, other, "other", 1)
    assert items.ask([first]) is None
    while not items.prompt:
        items.of([first])
    assert items.ask([]) is None
    assert items.ask([first, other]) is None
    for asked_for in ([first], [first, other], [other, first]):
        assert items.of(asked_for)
        asked = items.ask(asked_for)
        assert asked is not None
        with asked:
            assert asked.remembered == items.of(asked_for)
            assert asked.confirmed()
    edit(postgresql, first, "two", 2)
    for asked_for in ([first], [other, first]):
        asked = items.ask(asked_for)
        assert asked is not None
        with asked:
            assert not asked.confirmed()
    edit(postgresql, other, "这首歌 \\x00 'quoted'", 2)
    found = StoredItems(postgresql, lambda item: item.text)
    assert found.promptly([first, other]) is None
    assert items.promptly([first, other, SUBJECTS[-1]]) == {first: "two", other: "这首歌 \\x00 'quoted'"}
    assert items.promptly([other]) == items.of([other])
    asked = items.ask([first])
    assert asked is not None
    with asked:
        pass
    again = items.ask([first])
    assert again is not None
    with again:
        assert again.confirmed()
        assert again.remembered == {first: "two"}
