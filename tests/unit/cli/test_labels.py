"""`leads labels` as it is typed, over label files that were imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from leads import clock
from leads.db import event_log
from leads.errors import InvalidInput, LeadsError
from leads.events import DecisionMade, ItemCreated, RecordedEvent, SubjectRef
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings, load_settings
from training.data.label_files import label_files
from training.data.own_labels import Columns, import_labels

POLICIES = load_policies(POLICIES_FILE)
AT = clock.from_text("2026-03-01T12:00:00Z")
COLUMNS = Columns("text", "label", id="nr", time="at")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with two files of `spam`, the second with the first's rows, and one of `sexism`."""
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "home"))
    settings = load_settings()
    january = "c1,some words,1,2026-01-01\nc2,others,0,2026-01-02\nc3,others,0,2026-01-02\n"
    february = f"{january}c4,Some WORDS,0,2026-02-01\nc5,new words,1,2026-02-03\n"
    for harm, name, rows in (
        ("spam", "january", january),
        ("spam", "february", february),
        ("sexism", "january", january),
    ):
        path = tmp_path / f"{name}.csv"
        path.write_text(f"nr,text,label,at\n{rows}")
        import_labels(settings, POLICIES, harm, path, COLUMNS)
    return settings


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, ["labels", *words])
    if result.exception and not isinstance(result.exception, SystemExit | LeadsError):
        raise result.exception
    return result


def said(result: Result) -> str:
    return " ".join(result.output.split())


def test_all_files_are_listed_by_harm_in_the_order_of_their_import(home: Settings, tmp_path: Path) -> None:
    listed = run("list")
    shown = said(listed)
    assert shown.index("sexism january 3 1 33.3% 2026-01-01 2026-01-02") < shown.index("spam january")
    assert shown.index("spam january 3 1") < shown.index("spam february 5 2 40.0% 2026-01-01 2026-02-03")
    # A long path is broken within words.
    assert "january.csv" in "".join(listed.output.split())
    assert "leads labels remove sexism NAME" in shown
    assert "sexism" not in run("list", "spam").output


def test_a_home_without_labels_says_how_to_import_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "empty"))
    shown = said(run("list"))
    assert "No labels have been imported yet." in shown
    assert "leads labels import HARM FILE" in shown


def test_what_counts_and_what_conflicts_is_shown(home: Settings, tmp_path: Path) -> None:
    shown = said(run("show", "spam"))
    # The newest label of "some words" is the second file's, so that file's row counts.
    assert "january 3 1 1 0 2026-01-01" in shown
    assert "february 5 2 2 1 2026-01-01" in shown
    assert "1 text with both labels" in shown
    assert "january line 2 (id c1) 2026-01-01 00:00: violating" in shown
    assert "february line 5 (id c4) 2026-02-01 00:00: not violating" in shown
    assert str(tmp_path / "february.csv") in run("show", "spam", "february").output.replace("\n", "")
    assert "both labels" not in said(run("show", "sexism"))
    assert "january line" not in said(run("show", "sexism", "file:january"))


def test_removing_a_file_leaves_the_others(home: Settings, tmp_path: Path) -> None:
    shown = said(run("remove", "spam", "january"))
    assert "Removed 3 rows of spam: file:january." in shown
    assert "leads train spam" in shown
    assert [file.name for file in label_files(home, "spam")] == ["february"]
    assert [file.name for file in label_files(home, "sexism")] == ["january"]
    assert (tmp_path / "january.csv").exists()
    assert "both labels" in said(run("show", "spam"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("remove", "spam", "march"), "'march'. Use one of january, february."),
        (("show", "spam", "march"), "Use one of january, february."),
        (("show", "harassment"), "harassment has no imported labels. Harms with imported labels: sexism, spam."),
        (("list", "harassment"), "HARM: harassment has no imported labels."),
        (("remove", "../spam", "january"), "../spam has no imported labels"),
        (("remove", "spam", "../sexism/january"), "has no imported labels named '../sexism/january'"),
    ],
)
def test_an_error_names_what_there_is(home: Settings, words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 1
    assert message in str(result.exception)
    assert len(label_files(home, "spam")) == 2


def test_verdicts_on_items_become_decisions_once(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    item = ItemCreated(SubjectRef("comment", "c1"), account_id="a1", text="one")
    with engine.begin() as connection:
        event_log.append_recorded(connection, "test", [RecordedEvent("e1", AT, AT, item)])
    file = tmp_path / "verdicts.csv"
    file.write_text("id;found;at\nc1;yes;2026-03-01T12:00:00Z\nc2;no;2026-03-01\nc3;;2026-03-02\n")
    given = ("add", "spam", str(file), "--type", "comment", "--label", "found", "--time", "at", "--reviewer", "anna")
    for accepted, skipped in ((2, 0), (0, 2)):
        result = run(*given)
        more = f"; skipped {skipped} that were there already" if skipped else ""
        assert f"Added {accepted} verdicts for spam{more}. The file has 2 verdicts; violating: 1." in said(result)
        assert "The event log doesn't have 1 item of the file" in said(result)
    found = [one.event.body for one in event_log.read(engine, 0, limit=10) if isinstance(one.event.body, DecisionMade)]
    assert [(one.subject.id, one.verdict, one.reviewer, one.by) for one in found] == [
        ("c1", "violating", "anna", "human"),
        ("c2", "not_violating", "anna", "human"),
    ]
    file.write_text("id;found;at\nc3;no;2026-03-02\n")
    refused = run(*given)
    assert "no comment with 1 of the 1 ids in column 'id'" in str(refused.exception)
    assert isinstance(refused.exception, LeadsError)
    assert "--force" in str(refused.exception.remedy)
    given = (*given, "--force")
    assert "Added 1 verdict for spam. The file has 1 verdict; violating: 0." in said(run(*given))
    for words in (("list",), ("list", "spam")):
        shown = said(run(*words))
        assert "spam anna 3 1 33.3% 2026-03-01 2026-03-02" in shown
        assert "leads train spam" in shown
        assert "leads labels remove" not in shown


def test_verdicts_without_times_are_added_once_too(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    item = ItemCreated(SubjectRef("comment", "c1"), account_id="a1", text="one")
    with engine.begin() as connection:
        event_log.append_recorded(connection, "test", [RecordedEvent("e1", AT, AT, item)])
    file = tmp_path / "verdicts.csv"
    # The second row says the same as the first.
    file.write_text("id,label\nc1,yes\nc1,1\n")
    given = ("add", "spam", str(file), "--type", "comment")
    assert "Added 1 verdict for spam; skipped 1 that were there already" in said(run(*given))
    assert "Added 0 verdicts for spam; skipped 2 that were there already" in said(run(*given))
    # What has changed in the file is new, and so is what another reviewer says.
    file.write_text("id,label\nc1,yes\nc1,no\n")
    assert "Added 1 verdict for spam; skipped 1 that" in said(run(*given))
    assert "Added 2 verdicts for spam." in said(run(*given, "--reviewer", "anna"))
    verdicts = [
        one.event.body.verdict
        for one in event_log.read(engine, 0, limit=10)
        if isinstance(one.event.body, DecisionMade)
    ]
    assert verdicts == ["violating", "not_violating", "violating", "not_violating"]


def test_an_error_names_the_line_of_the_file_of_verdicts(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    file = tmp_path / "verdicts.csv"
    file.write_text(f"id,label\nc1,\nc2,yes\n{'c' * 2_000},no\n")
    result = run("add", "spam", str(file), "--type", "comment", "--force")
    assert isinstance(result.exception, LeadsError)
    assert result.exception.field == f"{file}:4"
    assert "--sender" not in str(result.exception)
    assert "leads-labels-" not in str(result.exception)


def test_declared_features_that_are_not_live_come_first(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = settings.platform.read_text()
    (tmp_path / "platform.yaml").write_text(
        f"{text}features:\n  account.follows_7d: {{count: follow, window: 7d, meaning: follows}}\n"
    )
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    monkeypatch.setenv("LEADS_PLATFORM", str(tmp_path / "platform.yaml"))
    (tmp_path / "verdicts.csv").write_text("id,label\nc1,yes\n")
    comment = {"typeId": "comment", "id": "c1", "eventId": "e1", "occurredAt": "2026-03-01T12:00:00Z"}
    (tmp_path / "events.jsonl").write_text(json.dumps(comment) + "\n")
    added = ("labels", "add", "spam", str(tmp_path / "verdicts.csv"), "--type", "comment")
    for words in (("ingest", str(tmp_path / "events.jsonl")), added):
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output
        assert said(done).partition("Next: ")[2].startswith("leads features apply bring 1 changed feature")


@pytest.mark.parametrize(
    ("text", "type_id", "said"),
    [
        ("id,label\nc1,yes\n", "track", "doesn't apply to type 'track'"),
        ("id,label\nc1,maybe\n", "comment", "maybe"),
        ("id,label\n,yes\n", "comment", "No row has an id and a verdict"),
        ("id,label,at\nc1,yes,2126-01-01\n", "comment", "in the future"),
    ],
)
def test_a_bad_file_of_verdicts_adds_nothing(
    settings: Settings,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    text: str,
    type_id: str,
    said: str,
) -> None:
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    file = tmp_path / "verdicts.csv"
    file.write_text(text)
    time = ("--time", "at") if ",at" in text else ()
    result = run("add", "spam", str(file), "--type", type_id, *time)
    assert result.exit_code == 1
    assert said in str(result.exception)
    assert not event_log.read(engine, 0, limit=1)


def test_verdicts_have_a_reviewer_that_the_api_would_accept(home: Settings, tmp_path: Path) -> None:
    file = tmp_path / "verdicts.csv"
    file.write_text("id,label\nc1,1\n", encoding="utf-8")
    error = run("add", "spam", str(file), "--type", "comment", "--reviewer", " anna").exception
    assert isinstance(error, InvalidInput)
    assert error.field == "--reviewer"
