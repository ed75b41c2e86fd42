"""Nothing that a command prints acts on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import app
from cli.ui.labels.files import list_files
from cli.ui.labels.imports import import_file
from cli.ui.terminal import console, escape, note, table
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings
from training.data.own_labels import Columns

# Sets the window's title, changes colours, begins a line of its own, and turns the direction of writing.
NASTY = "\x1b]0;pwn\x07\x1b[31m\x9b31m\nforged\u202e"


def acts(out: str) -> bool:
    return any(not x.isprintable() for x in out.replace("\n", "")) or any(
        line.startswith("forged") for line in out.splitlines()
    )


def test_texts_in_lines_and_tables_are_shown_and_do_not_act(capsys: pytest.CaptureFixture[str]) -> None:
    note(f"a {escape(NASTY)}")
    console.print(table(escape(NASTY), (escape(NASTY), "b"), [(escape(NASTY), NASTY.replace("\n", ""))]))
    # Markup of our own still works, and so do lines that we break.
    note("[bold]one[/bold]\ntwo")
    out = capsys.readouterr().out
    assert not acts(out)
    assert "\\x1b]0;pwn\\x07\\x1b[31m\\x9b31m\\nforged\\u202e" in out
    assert "one\ntwo" in out


def test_the_name_of_an_imported_file_does_not_act(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"a{NASTY.replace('/', '')}.csv"
    path.write_text("text,label\nsome words,1\nothers,0\n")
    import_file(settings, load_policies(POLICIES_FILE), "spam", path, Columns("text", "label"))
    list_files(settings, "spam")
    out = capsys.readouterr().out
    assert "Labels for spam from a\\x1b]0;pwn" in out
    assert not acts(out)


def test_an_error_does_not_act(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\x1b]0;pwn\x07\xc2\x9b,label\na,1\n")
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "home"))
    arguments = ["leads", "train", "spam", "--csv", str(path), "--text", "text", "--label", "label"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        app.main()
    err = capsys.readouterr().err
    assert ended.value.code == 1
    assert "error:" in err
    assert "pwn" in err
    assert not acts(err)


def test_columns_are_narrowed_between_words_as_long_as_that_is_enough(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "width", 64)
    rows = [("stream_manipulation", "challenger", "one two three four five six", "0.912", "eve.smith@example.com")]
    console.print(table("T", ("harm", "state", "words", "AP", "by"), rows, right=("AP",)))
    out = capsys.readouterr().out
    for word in rows[0][0], "challenger", "three", "0.912":
        assert word in out.split()
    assert all(len(line.rstrip()) <= 64 for line in out.splitlines())
    monkeypatch.setattr(console, "width", 120)
    console.print(table("T", ("harm", "state", "words", "AP", "by"), rows, right=("AP",)))
    assert "one two three four five six" in capsys.readouterr().out
