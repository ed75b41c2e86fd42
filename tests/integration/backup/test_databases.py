"""The tables of a backup: from SQLite and PostgreSQL, into either, and the move from one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from leads import clock
from leads.backup import tables
from leads.backup.move import move_database
from leads.backup.reading import open_backup
from leads.backup.restore import restore
from leads.backup.take import take
from leads.db import event_log, model_changes
from leads.db.engine import migrate, open_engine, schema_revision, unchecked_engine, upgrade
from leads.db.tables import audit, events
from leads.environment.sqlite_urls import sqlite_url
from leads.errors import ConfigurationError, Conflict, InvalidInput, Unavailable
from leads.events import Event, ItemCreated, SubjectRef
from leads.files import only_one
from leads.settings import Settings, load_settings
from tests.support.backups import ROWS, contents, fill_tables

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An empty home, and an empty database of each kind."""
    url = None
    if request.param == "postgresql":
        # Tests whose source is PostgreSQL have one database of it only.
        if "postgresql" in request.node.name.partition("[")[2].split("-")[0] and "any_engine" in request.fixturenames:
            pytest.skip("one database of each kind is enough")
        url = request.getfixturevalue("postgresql_url")
    return load_settings(home=tmp_path / "restored", corpora="none", database_url=url)


@contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def test_every_row_of_every_table_is_restored(
    any_settings: Settings, any_engine: Engine, target: Settings, tmp_path: Path
) -> None:
    fill_tables(any_engine)
    before = contents(any_engine)
    made = take(any_settings, tmp_path / "backup")
    assert made.database is not None
    # A new table is in a backup too, or is derived.
    known = set(sa.inspect(any_engine).get_table_names())
    assert set(made.database.rows) == set(before) == known - {"alembic_version", "fold_states", "fold_values"}
    assert set(made.database.rows.values()) == {ROWS}

    restore(target, open_backup(tmp_path / "backup"), where="backup")
    with opened(target) as engine:
        assert contents(engine) == before
        assert next_number(engine) == ROWS + 1


def next_number(engine: Engine) -> int | None:
    """The number that the database gives to the next row: it goes on counting where it was."""
    with engine.begin() as connection:
        row = {column.name: "x" for column in audit.columns if isinstance(column.type, sa.Text)}
        added = sa.insert(audit).values({**row, "at": 1, "detail": {}}).returning(audit.c.seq)
        return connection.execute(added).scalar()


def test_tables_are_written_in_several_files(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_BATCH", 4)
    monkeypatch.setattr(tables, "_FILE_ROWS", 8)
    fill_tables(engine)
    take(settings, tmp_path / "backup")
    assert len(list((tmp_path / "backup" / "database" / "events").iterdir())) == 4
    target = load_settings(home=tmp_path / "restored", corpora="none")
    restore(target, open_backup(tmp_path / "backup"), where="backup")
    with opened(target) as restored:
        assert contents(restored) == contents(engine)


def test_a_backup_holds_one_moment(any_settings: Settings, any_engine: Engine, tmp_path: Path) -> None:
    append(any_engine, "before")
    with tables.snapshot(any_engine) as connection:
        assert tables.head_offset(connection) == 1
        append(any_engine, "after")
        (table,) = [one for one in tables.stored_tables(connection) if one.name == "events"]
        assert [row["id"] for batch in tables.batches(connection, table) for row in batch.to_pylist()] == ["before"]


def append(engine: Engine, event: str) -> None:
    with engine.begin() as connection:
        body = ItemCreated(SubjectRef("comment", event), text="a song")
        event_log.append(connection, "test", [Event(event, clock.now() - clock.HOUR, body)])


def test_a_backup_of_an_older_schema_is_migrated(settings: Settings, tmp_path: Path) -> None:
    older = unchecked_engine(settings)
    upgrade(older, "0008")
    take(settings, tmp_path / "backup")
    older.dispose()
    target = load_settings(home=tmp_path / "restored", corpora="none")
    restore(target, open_backup(tmp_path / "backup"), where="backup")
    with opened(target) as engine:
        append(engine, "e1")


def test_a_newer_schema_is_refused(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9000'"))
    with pytest.raises(ConfigurationError, match="newer than this release"):
        take(settings, tmp_path / "backup")
    assert list(tmp_path.glob("backup*")) == []
    with pytest.raises(ConfigurationError, match="newer than this release"):
        move_database(settings, sqlite_url(tmp_path / "new.db"))


def test_a_database_with_rows_is_not_restored_into(
    settings: Settings, engine: Engine, target: Settings, tmp_path: Path
) -> None:
    append(engine, "e1")
    take(settings, tmp_path / "backup")
    migrate(target)
    with opened(target) as other:
        append(other, "mine")
        before = contents(other)
    if target.database_url is None:
        with pytest.raises(Conflict, match="isn't empty"):
            restore(target, open_backup(tmp_path / "backup"), where="backup")
    else:
        with pytest.raises(Conflict, match="table events has rows"):
            restore(target, open_backup(tmp_path / "backup"), where="backup")
    with opened(target) as other:
        assert contents(other) == before


@pytest.mark.slow
def test_a_restore_that_fails_leaves_a_server_empty(
    settings: Settings, engine: Engine, postgresql_url: str, tmp_path: Path
) -> None:
    append(engine, "e1")
    (settings.root / "tuned").mkdir()
    (settings.root / "tuned" / "spam.yaml").write_text("depth: 3")
    take(settings, tmp_path / "backup")
    backup = open_backup(tmp_path / "backup")
    (tmp_path / "backup" / "home" / "tuned" / "spam.yaml").rename(tmp_path / "away")
    with pytest.raises(Unavailable, match="No such file"):
        restore(load_settings(home=tmp_path / "1", database_url=postgresql_url), backup, where="backup")
    (tmp_path / "away").rename(tmp_path / "backup" / "home" / "tuned" / "spam.yaml")
    second = load_settings(home=tmp_path / "2", database_url=postgresql_url)
    restore(second, backup, where="backup")
    with opened(second) as restored:
        assert contents(restored) == contents(engine)


@pytest.mark.parametrize("to", KINDS)
def test_a_database_moves_to_another_kind(
    any_settings: Settings, any_engine: Engine, to: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if to == "sqlite":
        url = sqlite_url(tmp_path / "100% new" / "leads.db")
    elif any_engine.dialect.name == "postgresql":
        pytest.skip("one database of each kind is enough")
    else:
        url = request.getfixturevalue("postgresql_url")
    fill_tables(any_engine)
    before = contents(any_engine)
    moved = move_database(any_settings, url)
    assert moved.rows == dict.fromkeys(before, ROWS)
    assert contents(any_engine) == before
    with opened(any_settings.model_copy(update={"database_url": load_settings(database_url=url).database_url})) as new:
        assert contents(new) == before
        assert next_number(new) == ROWS + 1
    with pytest.raises(Conflict, match="isn't empty"):
        move_database(any_settings, url)
    with pytest.raises(Conflict, match="in use"):
        move_database(any_settings, any_settings.database)


@pytest.mark.slow
def test_a_value_that_postgresql_cannot_store_is_named(settings: Settings, engine: Engine, postgresql_url: str) -> None:
    append(engine, "e1")
    with engine.begin() as connection:
        connection.execute(sa.update(events).values(subject_id="a\0b"))
    with pytest.raises(InvalidInput, match="table events contains a value that PostgreSQL can't store"):
        move_database(settings, postgresql_url)
    # Nothing was stored, so the move can be repeated.
    with engine.begin() as connection:
        connection.execute(sa.update(events).values(subject_id="ab"))
    assert move_database(settings, postgresql_url).offset == 1


def test_a_running_service_is_not_moved(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(engine, "e1")
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    with only_one(settings.root / "worker-0of1.lock", what="running the worker"):
        done = CliRunner().invoke(app, ["move-database", "--to", sqlite_url(tmp_path / "new.db")])
    assert isinstance(done.exception, Conflict)
    assert "The service is running" in str(done.exception)
    assert not (tmp_path / "new.db").exists()


def test_the_commands_move_a_platform(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(engine, "e1")
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    url = sqlite_url(tmp_path / "new.db")
    done = CliRunner().invoke(app, ["move-database", "--to", url])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "up to event 1" in done.output
    assert "LEADS_DATABASE_URL" in done.output
    moved = load_settings(home=settings.home, database_url=url)
    with opened(moved) as new:
        assert schema_revision(new) == schema_revision(engine)
        with new.connect() as connection:
            assert model_changes.history(connection, "spam") == []
