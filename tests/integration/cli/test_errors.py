"""Bad input to every command: one clear error, a non-zero exit, and nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cli.app import app
from leads.db import tables
from leads.db.engine import migrate, open_engine, reading
from leads.errors import LeadsError
from leads.settings import load_settings

GOOD = (
    b'{"id":"e1","occurred_at":1767225600000000,'
    b'"body":{"type":"item_created","subject":{"type_id":"comment","id":"c1"}}}\n'
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LEADS_CORPORA", "none")
    migrate(load_settings())
    return tmp_path / "home"


def refused(*arguments: str) -> str:
    """The one error of a command that must fail."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code != 0
    if isinstance(result.exception, LeadsError):
        return str(result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    return result.output


def count_events(home: Path) -> int:
    engine = open_engine(load_settings(home=home, corpora=""))
    with reading(engine) as connection:
        found = connection.execute(sa.select(sa.func.count()).select_from(tables.events)).scalar_one()
    engine.dispose()
    return int(found)


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (b"", "contains no events"),
        (b"not json\n", ":1"),
        (b'{"id": "a\xff"}\n', ":1"),
        (GOOD + b'{"id":"e2"}\n', ":2"),
        (GOOD.replace(b"1767225600000000", b"1767225600"), "/occurred_at"),
        (GOOD.replace(b"1767225600000000", b"NaN"), ":1"),
        (GOOD.replace(b'"c1"', b'""'), "/body/subject/id"),
        (GOOD.replace(b"item_created", b"item_imagined"), "/body"),
        (GOOD.replace(b'"id":"e1"', b'"id":"e1","colour":"red"'), "colour"),
        (GOOD.replace(b'"id":"c1"}}', b'"id":"c1"},"text":"' + b"x" * 2_000_000 + b'"}'), "longer than"),
        (GOOD.replace(b"1767225600000000", b"4092599349000000"), "future"),
        (
            GOOD.replace(
                b'"occurred_at":1767225600000000', b'"occurred_at":1767225600000000,"visible_at":1767215600000000'
            ),
            "visible_at",
        ),
    ],
)
def test_a_bad_event_file_names_its_line_and_appends_nothing(
    home: Path, tmp_path: Path, lines: bytes, where: str
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines)
    assert where in refused("ingest", str(file))
    assert count_events(home) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ingest", "nowhere.jsonl"), "creates one: simulation/events-history.jsonl in LEADS_HOME"),
        (("simulate", "--preset", "huge"), "standard, demo, small"),
        (("simulate", "--accounts", "3"), "out of range"),
        (("simulate", "--end", "tomorrow"), "--end"),
        (("simulate", "--days", "0"), "out of range"),
        (("train",), "HARMS"),
        (("train", "no_such_harm"), "Harms in policies.yaml"),
        (("train", "spam"), "labels"),
        (("train", "--all"), "leads simulate"),
        (("retrain", "spam"), "labels"),
        (("retrain", "no_such_harm"), "Harms in policies.yaml"),
        (("score",), "TYPE:ID"),
        (("score", "comment"), "TYPE:ID"),
        (("score", "comment:c1"), "unknown"),
        (("score", "--text", "hello"), "leads train"),
        (("score", "--text", "hello", "--harm", "no_such_harm"), "Harms in policies.yaml"),
        (("queue", "--harm", "no_such_harm"), "Harms in policies.yaml"),
        (("queue", "--state", "lost"), "--state"),
        (("drift", "no_such_harm"), "Harms in policies.yaml"),
        (("drift", "spam"), "leads train"),
        (("keys", "create", "me", "--scope", "everything"), "scope"),
        (("keys", "create", "me", "--harm", "no_such_harm"), "Harms in policies.yaml"),
        (("keys", "revoke", "nobody"), "leads keys list"),
    ],
)
def test_a_command_that_cannot_work_says_why_and_what_to_do(home: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(*arguments)
    assert count_events(home) == 0


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("LEADS_PORT", "many", ("status",)),
        ("LEADS_POLICIES", "nowhere.yaml", ("queue",)),
        ("LEADS_CORPORA", "nowhere", ("status",)),
        ("LEADS_ONLINE_STORE", "paper", ("status",)),
    ],
)
def test_a_wrong_setting_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv(name, value)
    said = refused(*command)
    assert name in said or value in said


def test_corpora_with_wrong_columns_are_refused_by_name(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "corpora" / "edos"
    folder.mkdir(parents=True)
    (folder / "edos_labelled_aggregated.csv").write_text("a,b\n1,2\n")
    monkeypatch.setenv("LEADS_CORPORA", str(folder.parent))
    assert "text" in refused("train", "sexism")


def test_an_error_is_one_message_on_stderr_and_exit_code_1(home: Path) -> None:
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli", "queue", "--harm", "no_such_harm"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_sigterm_ends_a_command_as_ctrl_c_does() -> None:
    """The command stands for one that works: it ends itself, and would wait for ever."""
    script = (
        "import os, signal, time\n"
        "from cli import app\n"
        "def work(**_):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(600)\n"
        "    except KeyboardInterrupt:\n"
        "        print('cleaned up')\n"
        "        raise\n"
        "app.app = work\n"
        "app.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "cleaned up\n"), done.stderr


def test_a_text_to_paste_keeps_its_lines(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,l\nx,1\n")
    command = [sys.executable, "-m", "cli", "labels", "import", "my_harm", str(tmp_path / "a.csv")]
    done = subprocess.run([*command, "--text", "t", "--label", "l"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "\n  my_harm:\n    title: My harm\n" in done.stderr
