"""Commands on a database that is missing, old or new: they say what to run, or create it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from leads.db.engine import newest_revision, schema_revision, unchecked_engine, upgrade
from leads.errors import ConfigurationError
from leads.settings import Settings, load_settings

pytestmark = pytest.mark.slow

OLD = "0004"
EVENT = (
    b'{"id":"e1","occurred_at":1767225600000000,'
    b'"body":{"type":"item_created","subject":{"type_id":"comment","id":"c1"}}}\n'
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LEADS_CORPORA", "none")
    return load_settings()


@pytest.fixture
def old(home: Settings) -> Settings:
    """A database of an earlier release."""
    engine = unchecked_engine(home)
    upgrade(engine, OLD)
    engine.dispose()
    return home


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def revision(settings: Settings) -> str | None:
    engine = unchecked_engine(settings)
    found = schema_revision(engine)
    engine.dispose()
    return found


READERS = [
    ("queue",),
    ("keys", "list"),
    ("keys", "revoke", "x"),
    ("models", "list"),
    ("models", "history", "spam"),
    ("score", "comment:c1"),
]


@pytest.mark.parametrize("words", [words for words in READERS if words[0] != "models"], ids=" ".join)
def test_without_a_database_readers_say_what_to_run(home: Settings, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception) == f"There is no database at {home.root / 'leads.db'} yet. Run: leads migrate"
    assert not (home.root / "leads.db").exists()


def test_without_a_database_status_shows_where_to_start(home: Settings) -> None:
    result = run("status")
    assert result.exit_code == 0
    for part in (
        "There is no database yet",
        "Corpora: turned off",
        "leads demo",
        "leads train HARM --csv",
        "leads migrate",
    ):
        assert part in result.output
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("words", "empty"),
    [
        (("models", "list"), "No version is registered yet."),
        (("models", "history", "spam"), "There are no changes to versions of spam yet."),
    ],
)
def test_without_a_database_there_are_no_versions_yet(home: Settings, words: tuple[str, ...], empty: str) -> None:
    result = run(*words)
    assert result.exit_code == 0
    assert empty in result.output
    assert "leads train" in result.output
    assert not home.root.exists()


def test_writers_create_the_database(home: Settings, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(EVENT)
    result = run("ingest", str(file))
    assert result.exit_code == 0, result.output
    assert revision(home) == newest_revision()


def test_migrate_creates_then_finds_it_up_to_date(home: Settings) -> None:
    assert f"Created the database at schema revision {newest_revision()}." in run("migrate").output
    assert "up to date" in run("migrate").output
    assert run("migrate", "--quiet").output == ""
    assert f"schema revision {newest_revision()}" in run("status").output


@pytest.mark.parametrize("words", [*READERS, ("status",), ("keys", "create", "me"), ("worker", "--once")], ids=" ".join)
def test_with_an_old_schema_commands_say_what_to_run(old: Settings, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert isinstance(result.exception, ConfigurationError)
    expected = f"The database schema is at revision {OLD}, this version needs {newest_revision()}. Run: leads migrate"
    assert str(result.exception) == expected
    assert revision(old) == OLD


def test_migrate_says_from_where_to_where(old: Settings) -> None:
    assert f"Migrated the database from revision {OLD} to {newest_revision()}." in run("migrate").output
    assert run("queue").exit_code == 0


def test_serve_migrates_before_it_starts_children(old: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []
    monkeypatch.setattr("serving.supervisor.serve", lambda settings, **_: seen.append(revision(settings)))
    result = run("serve")
    assert result.exit_code == 0, result.output
    assert seen == [newest_revision()]
    assert "Migrated the database" in result.output
