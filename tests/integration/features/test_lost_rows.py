"""Stores and logs that lose what they held: rows are written again, and a log that was folded is not continued."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from features import deletion, log_tail, materialize
from features.deletion import delete_rows
from features.materialize import Materializer
from features.partition import WHOLE, Partition
from leads import clock
from leads.db import event_log
from leads.db.engine import open_engine
from leads.errors import ConfigurationError
from leads.events import RecordedEvent
from leads.settings import Settings, load_settings
from tests.support.features.history import START, assert_served_alike, history, log_history, segment_rows, served
from tests.support.features.state_servers import redis_snapshot, server_of
from tests.support.features.state_settings import state_settings

N = 1_200
EARLIER, LATER = 500, 900

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _always_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialize, "_CHECK_S", 0.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, int]:
    """A home whose online store lost nothing, and when its newest event became visible."""
    settings = load_settings(home=tmp_path_factory.mktemp("undisturbed"), corpora="")
    engine = open_engine(settings)
    head = log_history(engine, N)
    run(settings, engine)
    engine.dispose()
    return settings, head


@pytest.fixture(params=["sqlite", "redis", "redis with the state"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    store, _, state = request.param.partition(" ")
    return state_settings(
        tmp_path / "home",
        store if state else "sqlite",
        request,
        online_store=store,
        online_flush_s=0.001,
        segment_flush_s=0.001,
    )


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    opened = open_engine(settings)
    log_history(opened, N)
    yield opened
    opened.dispose()


def run(settings: Settings, engine: Engine, partition: Partition = WHOLE) -> None:
    materializer = Materializer(settings, engine, read=50, partition=partition)
    materializer.run_to_head()
    materializer.close()


def steps(materializer: Materializer, up_to: int) -> None:
    while materializer.offset < up_to:
        materializer.step(by=clock.HOUR)
        materializer.save()


def copied(settings: Settings) -> Callable[[], None]:
    """Copy the online store; returns a function that puts the copy in its place."""
    if settings.online_store == "sqlite":
        path = settings.features_dir / "online.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(path, path.with_suffix(".copy"))

        def put_back() -> None:
            empty(settings)
            path.with_suffix(".copy").rename(path)

        return put_back
    return redis_snapshot(settings)


def empty(settings: Settings) -> None:
    """Delete what the online store holds."""
    if settings.online_store == "sqlite":
        for path in settings.features_dir.glob("online.db*"):
            if path.suffix != ".copy":
                path.unlink()
    else:
        with server_of(settings) as server:
            server.flushall()


@pytest.mark.parametrize("older", [False, True])
def test_what_an_online_store_lost_while_no_worker_ran_is_written_again(
    settings: Settings, engine: Engine, undisturbed: tuple[Settings, int], older: bool
) -> None:
    materializer = Materializer(settings, engine, read=50)
    steps(materializer, EARLIER)
    materializer.flush()
    put_back = copied(settings)
    steps(materializer, LATER)
    materializer.flush()
    materializer.close()
    if older:
        put_back()
    else:
        empty(settings)
    run(settings, engine)
    assert_served_alike(settings, *undisturbed)
    assert segment_rows(settings) == segment_rows(undisturbed[0])
    # There is nothing to fold, but something was lost.
    empty(settings)
    run(settings, engine)
    assert_served_alike(settings, *undisturbed)


def test_what_redis_loses_is_noticed_while_the_worker_runs(
    tmp_path: Path, redis_address: str, undisturbed: tuple[Settings, int]
) -> None:
    settings = load_settings(
        home=tmp_path, corpora="", online_store="redis", redis_url=redis_address, online_flush_s=0.001
    )
    opened = open_engine(settings)
    log_history(opened, N)
    materializer = Materializer(settings, opened, read=50)
    for up_to in (EARLIER, LATER, N):
        steps(materializer, up_to)
        while not materializer.step(by=clock.HOUR).online:
            pass
        empty(settings)
        materializer.step(by=clock.HOUR)
        materializer.flush()
        assert served(settings, undisturbed[1])[1].any()
    materializer.flush()
    assert_served_alike(settings, *undisturbed)
    materializer.close()
    opened.dispose()


def test_each_partition_writes_its_own_rows_again(
    tmp_path: Path, redis_address: str, undisturbed: tuple[Settings, int]
) -> None:
    settings = load_settings(home=tmp_path, corpora="", online_store="redis", redis_url=redis_address, partitions=2)
    opened = open_engine(settings)
    log_history(opened, N)
    for _ in range(2):
        for index in range(2):
            run(settings, opened, Partition(index, 2))
        assert_served_alike(settings, *undisturbed)
        empty(settings)
    opened.dispose()


@pytest.mark.parametrize("left", ["states", "marks", "rows", "some segments"])
def test_a_deletion_that_is_interrupted_leaves_nothing_that_counts_as_written(
    settings: Settings,
    engine: Engine,
    undisturbed: tuple[Settings, int],
    left: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(settings, engine)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def killed_halfway(folder: Path, **_: object) -> None:
        for path in sorted(folder.rglob("*.parquet"))[::2]:
            path.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if left == "states":
            patch.setattr(deletion, "clear_states", killed)
        elif left == "marks":
            patch.setattr(Path, "unlink", killed)
        elif left == "rows":
            patch.setattr(deletion.OnlineWriter, "clear", killed)
        else:
            patch.setattr(deletion.shutil, "rmtree", killed_halfway)
        with pytest.raises(KeyboardInterrupt):
            delete_rows(settings)
    run(settings, engine)
    assert_served_alike(settings, *undisturbed)
    assert segment_rows(settings) == segment_rows(undisturbed[0])


def truncate_log(engine: Engine, offset: int) -> None:
    """Put the log back to where it ended at an offset, as a restored backup does."""
    with engine.begin() as connection:
        at = event_log.visible_at(connection, offset)
        connection.execute(sa.text('DELETE FROM events WHERE "offset" > :to'), {"to": offset})
        connection.execute(sa.text('DELETE FROM item_versions WHERE "offset" > :to'), {"to": offset})
        connection.execute(
            sa.text('UPDATE log_head SET "offset" = :to, visible_at = :at, item_versions_to = :to'),
            {"to": offset, "at": at},
        )


def append_others(engine: Engine, n: int) -> None:
    """Append other events than those that were there."""
    others = [
        RecordedEvent(f"other{i}", one.occurred_at, one.visible_at + 1, one.body)
        for i, one in enumerate(history(n, seed=99))
    ]
    with engine.begin() as connection:
        event_log.append_recorded(connection, "test", [x for x in others if x.visible_at > START + clock.DAY * 4])


@pytest.mark.parametrize("regrown", [False, True])
def test_a_log_that_was_restored_is_refused_until_the_rows_are_derived_again(tmp_path: Path, regrown: bool) -> None:
    settings = load_settings(home=tmp_path, corpora="", online_flush_s=0.001)
    engine = open_engine(settings)
    log_history(engine, N)
    materializer = Materializer(settings, engine, read=50)
    materializer.run_to_head()
    truncate_log(engine, EARLIER)
    if regrown:
        append_others(engine, 2 * N)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="another event log: they include event 1,200") as refused:
            materializer.flush()
        assert "--rebuild" in (refused.value.remedy or "")
    materializer.close()
    with pytest.raises(ConfigurationError, match="another event log"):
        Materializer(settings, engine)
    delete_rows(settings)
    run(settings, engine)
    rows = segment_rows(settings)
    shutil.rmtree(settings.features_dir)
    run(settings, engine)
    assert segment_rows(settings) == rows
    engine.dispose()


def test_events_behind_the_end_of_a_step_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a quiet platform, an hour has few events and a step reads thousands."""
    settings = load_settings(home=tmp_path, corpora="")
    engine = open_engine(settings)
    log_history(engine, N)
    decoded = 0
    read = event_log.read

    def counted(*args: object, **options: object) -> object:
        nonlocal decoded
        found = read(*args, **options)  # type: ignore[arg-type]
        decoded += len(found)
        return found

    monkeypatch.setattr(log_tail.event_log, "read", counted)
    materializer = Materializer(settings, engine)
    taken = 0
    while materializer.offset < N:
        materializer.step(by=clock.HOUR)
        taken += 1
    assert taken > 100
    assert decoded == N
    materializer.close()
    engine.dispose()
