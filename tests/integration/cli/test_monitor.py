"""`leads monitor run` and what `leads status` shows of it, on a home with predictions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from leads import clock
from leads.db.engine import migrate, open_engine, reading
from leads.db.monitoring import runs
from leads.errors import ConfigurationError, NotFound
from leads.settings import Settings, load_settings
from tests.support.monitoring.watch_world import START, NoRegistry, predict

pytestmark = pytest.mark.slow
NOW = clock.to_text(START + 30 * clock.HOUR + 10 * clock.MINUTE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with a day of predictions of a version that no longer exists."""
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LEADS_CORPORA", "none")
    monkeypatch.setenv("LEADS_PORT", "1")
    monkeypatch.setattr("monitoring.running.opened.MlflowRegistry", lambda settings: NoRegistry())
    settings = load_settings()
    migrate(settings)
    for hour in range(30):
        predict(settings, START + hour * clock.HOUR, 5)
    return settings


def leads(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def document(*words: str) -> dict[str, Any]:
    result = leads(*words, "--json")
    assert result.exit_code == 0, result.output
    made: dict[str, Any] = json.loads(result.stdout)
    return made


def test_a_run_says_what_it_did(home: Settings) -> None:
    first = document("monitor", "run", "--now", NOW)
    assert first["failed"] == 0, first
    assert first["summarised_hours"] == 30
    assert first["measured_until"] == clock.to_text(START + 30 * clock.HOUR)
    assert any("first run" in line for line in first["notes"])
    again = document("monitor", "run", "--now", NOW)
    assert (again["summarised_hours"], again["measured_windows"]) == (0, 0)
    shown = leads("monitor", "run", "--now", NOW, "--harm", "spam")
    assert shown.exit_code == 0, shown.output
    assert "Summarised 0 hours of predictions, measured 0 windows." in shown.output
    assert "leads status" in shown.output
    assert "leads status" not in leads("monitor", "run", "--now", NOW, "--quiet").output


def test_status_shows_what_was_measured(home: Settings) -> None:
    before = document("status")
    assert before["monitoring"]["alerts"] == []
    assert not any(before["monitoring"]["harms"].values())
    predict(home, clock.now() - 2 * clock.HOUR, 200)
    document("monitor", "run")
    found = document("status")["monitoring"]["harms"]["spam"]
    assert found
    assert all(one["n"] >= 0 for one in found.values())
    shown = leads("status").output
    assert "Monitoring" in shown
    assert "The last run began 0 min ago" in " ".join(shown.split())


def test_wrong_words_are_explained(home: Settings) -> None:
    assert isinstance(leads("monitor", "run", "--harm", "nothing").exception, NotFound)
    assert "--now: 'noon' is not a timestamp" in str(leads("monitor", "run", "--now", "noon").exception)


def test_without_a_database_the_command_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "none"))
    error = leads("monitor", "run").exception
    assert isinstance(error, ConfigurationError)
    assert "leads migrate" in str(error)


def test_watch_runs_at_once_and_ends_when_it_is_asked_to(home: Settings) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    watch = subprocess.Popen(
        [sys.executable, "-P", "-m", "cli", "monitor", "watch"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        until = time.monotonic() + 120
        while not finished(home):
            assert watch.poll() is None, watch.communicate()
            assert time.monotonic() < until
            time.sleep(0.1)
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(60) == 0
    finally:
        watch.kill()
        output, errors = watch.communicate()
    assert b"Traceback" not in output + errors, (output + errors).decode()


def finished(home: Settings) -> bool:
    engine = open_engine(home)
    try:
        with reading(engine) as connection:
            return any(run.state != "running" for run in runs.newest(connection))
    finally:
        engine.dispose()
