"""A recorded event keeps its own `visible_at` only where no prediction was served after it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from features.materialize import Materializer
from leads import clock
from leads.db import event_log
from leads.db.engine import reading
from leads.db.event_log import Moved
from leads.db.progress.served import note_served, served_until
from leads.db.tables import cursors
from leads.errors import Unavailable
from leads.events import Event, ItemCreated, RecordedEvent, Subject, SubjectRef
from leads.settings import Settings
from serving.runtime import open_runtime
from serving.scoring.inputs import ScoreRequest
from serving.served import AHEAD, ServedMark
from tests.support.prediction_world import batch
from tests.support.serving.world import publish

NOW = 1_780_000_000_000_000
BODY = ItemCreated(SubjectRef("comment", "c1"), account_id="a1", text="hello")


def recorded(number: int, at: int) -> RecordedEvent:
    return RecordedEvent(f"e{number}", at, at, BODY)


def append(engine: Engine, *events: RecordedEvent, now: int = NOW) -> event_log.Appended:
    with engine.begin() as connection:
        return event_log.append_recorded(connection, "test", events, clock_=lambda: now)


def mark(engine: Engine, at: int) -> None:
    with engine.begin() as connection:
        note_served(connection, at)


def visible(engine: Engine) -> list[int]:
    return [logged.visible_at for logged in event_log.read_all(engine)]


def test_the_past_stays_open_while_nothing_was_served(any_engine: Engine) -> None:
    done = append(any_engine, recorded(1, NOW - clock.DAY), recorded(2, NOW - clock.HOUR))
    assert visible(any_engine) == [NOW - clock.DAY, NOW - clock.HOUR]
    assert done.moved == Moved(0, 0)


def test_what_arrives_after_a_prediction_becomes_visible_after_it(any_engine: Engine) -> None:
    served = NOW - clock.HOUR
    mark(any_engine, served)
    times = [NOW - clock.DAY, served, served + 1, NOW - 5]
    done = append(any_engine, *(recorded(i, at) for i, at in enumerate(times)))
    assert visible(any_engine) == [served + 1, served + 2, served + 3, NOW - 5]
    assert done.moved == Moved(served=2, order=0)


def test_only_new_events_count_as_moved(any_engine: Engine) -> None:
    append(any_engine, recorded(1, NOW - clock.DAY))
    mark(any_engine, NOW - clock.HOUR)
    assert append(any_engine, recorded(1, NOW - clock.DAY)).moved == Moved(0, 0)
    assert visible(any_engine) == [NOW - clock.DAY]


def test_events_behind_the_log_are_counted_from_a_second_on(any_engine: Engine) -> None:
    append(any_engine, recorded(1, NOW - clock.HOUR))
    close, far = NOW - clock.HOUR - clock.SECOND // 2, NOW - clock.DAY
    done = append(any_engine, recorded(2, close), recorded(3, far))
    assert visible(any_engine) == [NOW - clock.HOUR, NOW - clock.HOUR + 1, NOW - clock.HOUR + 2]
    assert done.moved == Moved(served=0, order=1)


def test_a_mark_from_a_fast_clock_counts_as_now(any_engine: Engine) -> None:
    mark(any_engine, NOW + 40 * clock.DAY)
    append(any_engine, recorded(1, NOW - clock.DAY))
    assert visible(any_engine) == [NOW + 1]
    with any_engine.begin() as connection:
        event_log.append(connection, "test", [Event("live", NOW, BODY)], clock_=lambda: NOW + 10)
    assert visible(any_engine)[-1] == NOW + 10


def test_live_events_are_not_moved(any_engine: Engine) -> None:
    mark(any_engine, NOW + clock.MINUTE)
    with any_engine.begin() as connection:
        event_log.append(connection, "test", [Event("live", NOW, BODY)], clock_=lambda: NOW)
    assert visible(any_engine) == [NOW]


def test_the_mark_only_moves_forward(any_engine: Engine) -> None:
    mark(any_engine, NOW)
    mark(any_engine, NOW - 1)
    with reading(any_engine) as connection:
        assert served_until(connection) == NOW


def test_a_process_marks_what_it_serves(engine: Engine, settings: Settings) -> None:
    sink = Collected()
    served = ServedMark(engine, sink)
    served.start()
    try:
        one = batch(1, at=NOW)
        served.append(one)
        wait_until(lambda: marked(engine) == NOW + AHEAD)
        served.append(batch(2, at=NOW + AHEAD // 4))
        served.append(batch(3, at=NOW + AHEAD))
        wait_until(lambda: marked(engine) == NOW + 2 * AHEAD)
    finally:
        served.close()
    assert sink.batches[0] is one
    assert len(sink.batches) == 3


def test_a_mark_that_could_not_be_written_is_written_later(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fails_once(connection: object, until: int) -> None:
        calls.append(until)
        if len(calls) == 1:
            raise Unavailable("The database is locked.")
        note_served(connection, until)  # type: ignore[arg-type]

    monkeypatch.setattr("serving.served.note_served", fails_once)
    monkeypatch.setattr("serving.served._RETRY_S", 0.01)
    served = ServedMark(engine, Collected())
    served.start()
    served.append(batch(1, at=NOW))
    wait_until(lambda: marked(engine) == NOW + AHEAD)
    served.close()


def test_a_process_that_ends_writes_its_mark(engine: Engine) -> None:
    served = ServedMark(engine, Collected())
    served.append(batch(1, at=NOW))
    served.start()
    served.close()
    assert marked(engine) == NOW + AHEAD


def test_the_api_and_the_command_mark_what_they_serve(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, "spam")
    Materializer(settings, engine)
    runtime = open_runtime(settings)
    try:
        wait_until(lambda: bool(runtime.published.lineup().champions))
        at = runtime.clock()
        runtime.scorer.score([ScoreRequest(Subject("comment", "c9"), text="hello")], at, "api")
        wait_until(lambda: marked(engine) == at + AHEAD)
    finally:
        runtime.close()
    with engine.begin() as connection:
        connection.execute(sa.delete(cursors))
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    before = clock.now()
    result = CliRunner().invoke(app, ["score", "--text", "hello"])
    assert result.exit_code == 0, result.output
    assert marked(engine) >= before + AHEAD


class Collected:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.batches: list[object] = []

    def append(self, one: object) -> None:
        self.batches.append(one)


def marked(engine: Engine) -> int:
    with reading(engine) as connection:
        return served_until(connection)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert happened()
