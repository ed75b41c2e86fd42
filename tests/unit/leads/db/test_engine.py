"""Opening the database checks its schema and says what to run; only `migrate` changes an existing one."""

from __future__ import annotations

import os
import subprocess
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine

from leads.db.engine import (
    Migrated,
    migrate,
    newest_revision,
    open_engine,
    reading,
    schema_revision,
    unchecked_engine,
    upgrade,
)
from leads.db.tables import api_keys, cursors
from leads.errors import ConfigurationError, Unavailable
from leads.processes import python
from leads.settings import PACKAGES, Settings, load_settings

pytestmark = pytest.mark.slow

OLD = "0004"
NEWER = "9000"


@pytest.fixture
def bare(any_settings: Settings) -> Iterator[Engine]:
    """A database of each kind without tables."""
    engine = unchecked_engine(any_settings)
    yield engine
    engine.dispose()


def refused(settings: Settings, *, create: bool = True) -> str:
    with pytest.raises(ConfigurationError) as error:
        open_engine(settings, create=create)
    return str(error.value)


def test_the_newest_revision_is_the_head_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(PACKAGES / "leads" / "db" / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [newest_revision()]
    # Revisions are compared as text.
    numbers = [one.revision for one in script.walk_revisions()]
    assert numbers == sorted(numbers, reverse=True)
    assert {len(number) for number in numbers} == {4}


def test_an_older_schema_is_refused_and_stays_as_it_is(any_settings: Settings, bare: Engine) -> None:
    assert upgrade(bare, OLD) == Migrated(None, OLD)
    expected = f"The database schema is at revision {OLD}, this version needs {newest_revision()}. Run: leads migrate"
    assert refused(any_settings) == expected
    assert refused(any_settings, create=False) == expected
    assert schema_revision(bare) == OLD


def test_migrating_an_older_schema_keeps_what_is_in_it(any_settings: Settings, bare: Engine) -> None:
    upgrade(bare, OLD)
    with bare.begin() as connection:
        connection.execute(sa.insert(cursors).values(name="reader", offset=7))
    assert migrate(any_settings) == Migrated(OLD, newest_revision())
    engine = open_engine(any_settings)
    with reading(engine) as connection:
        assert connection.execute(sa.select(cursors.c.offset)).scalars().all() == [7]
        assert connection.execute(sa.select(api_keys.c.rate)).all() == []
    engine.dispose()
    assert migrate(any_settings) == Migrated(newest_revision(), newest_revision())


def test_an_older_release_runs_on_a_newer_schema_and_never_takes_it_back(
    any_settings: Settings, any_engine: Engine
) -> None:
    with any_engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{NEWER}'"))
    engine = open_engine(any_settings, create=False)
    assert migrate(any_settings) == Migrated(NEWER, NEWER)
    assert schema_revision(engine) == NEWER
    engine.dispose()


def test_a_missing_sqlite_file_is_created_for_writers_only(settings: Settings) -> None:
    file = settings.root / "leads.db"
    assert refused(settings, create=False) == f"There is no database at {file} yet. Run: leads migrate"
    assert not settings.root.exists()
    engine = open_engine(settings)
    assert schema_revision(engine) == newest_revision()
    engine.dispose()
    open_engine(settings, create=False).dispose()


def test_an_empty_sqlite_file_counts_as_missing(settings: Settings) -> None:
    settings.root.mkdir()
    (settings.root / "leads.db").touch()
    assert "There is no database" in refused(settings, create=False)
    open_engine(settings).dispose()
    open_engine(settings, create=False).dispose()


def test_someone_elses_sqlite_file_is_left_alone(settings: Settings) -> None:
    engine = unchecked_engine(settings)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE others (id INTEGER)"))
    assert "Run: leads migrate" in refused(settings)
    assert sa.inspect(engine).get_table_names() == ["others"]
    engine.dispose()


def test_an_empty_postgresql_database_waits_for_migrate(postgresql_url: str, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, corpora=Path(), database_url=postgresql_url)
    assert refused(settings) == "The database has no tables yet. Run: leads migrate"
    assert migrate(settings) == Migrated(None, newest_revision())
    open_engine(settings, timeout_s=5).dispose()


@pytest.mark.slow
def test_two_processes_may_migrate_at_once(any_settings: Settings, bare: Engine) -> None:
    upgrade(bare, OLD)
    env = {**os.environ, "LEADS_HOME": str(any_settings.root), "LEADS_DATABASE_URL": any_settings.database}
    started = [
        subprocess.Popen(python("cli", "migrate"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [(*child.communicate(timeout=120), child.returncode) for child in started]
    assert [code for *_, code in ended] == [0, 0], ended
    assert schema_revision(bare) == newest_revision()
    # One of them migrated, the other found it done.
    assert sorted(f"from revision {OLD}" in out for out, *_ in ended) == [False, True]


def test_threads_may_create_the_same_file_at_once(settings: Settings) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            open_engine(settings).dispose()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_database_that_doesnt_answer_is_unavailable(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://nobody:hunter2@/leads?host={tmp_path}"
    with pytest.raises(Unavailable) as error:
        open_engine(load_settings(home=tmp_path, database_url=url))
    assert error.value.field == "LEADS_DATABASE_URL"
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("hunter2", "Not a database URL."),
        ("postgresql+nodriver://a:hunter2@h/leads", "Neither SQLite nor PostgreSQL"),
        ("mysql://a:hunter2@h/leads", "Neither SQLite nor PostgreSQL"),
        ("mysql+nodriver://a:hunter2@h/leads", "Neither SQLite nor PostgreSQL"),
        ("sqlite+aiosqlite:///hunter2.db", "Neither SQLite nor PostgreSQL"),
        ("postgresql+psycopg://a:hunter2@h:port/leads", "The port is not a number."),
        ("postgresql+psycopg://a:hun@ter2:x@h/leads", "The port is not a number."),
        ("postgresql+psycopg://a:hunter2@h:65536/leads", "The port is not between 1 and 65535."),
        ("postgresql+psycopg://a:hunter2@127.0.0.1:1/leads?nonsense=1", "A parameter after the question mark"),
        ("postgresql+psycopg://a:hunter2@127.0.0.1:1/leads?connect_timeout=x", "A parameter after the question mark"),
    ],
)
def test_a_bad_url_is_one_clear_error_without_its_password(tmp_path: Path, url: str, what: str) -> None:
    settings = load_settings(home=tmp_path, database_url=url)
    for timeout_s in (None, 2.0):
        with pytest.raises(ConfigurationError) as error:
            open_engine(settings, timeout_s=timeout_s).dispose()
        assert str(error.value).startswith(f"LEADS_DATABASE_URL: {what}")
        assert "hunter2" not in "".join(traceback.format_exception(error.value)).replace(url, "")
        assert error.value.__cause__ is None


def test_a_reader_waits_for_no_writer(engine: Engine) -> None:
    with engine.begin() as writer:
        writer.execute(sa.insert(cursors).values(name="reader", offset=1))
        with reading(engine) as reader:
            assert reader.execute(sa.select(cursors.c.offset)).all() == []
