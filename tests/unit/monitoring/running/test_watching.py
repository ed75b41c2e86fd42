"""`leads monitor watch`: it survives what fails, waits longer each time, and says each thing once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from leads.errors import Conflict, LeadsError, Unavailable
from leads.files import only_one
from leads.policies import Policies
from leads.settings import Settings, load_settings
from monitoring.running.run import Outcome, Stopped
from monitoring.running.watching import WATCH_LOCK, Watch

DONE = Outcome("r", 1, 1, 0, ["A line."], 0)


class Runs:
    """Does, one after the other, what it is given: an error to raise or an outcome."""

    def __init__(self, *results: Outcome | Exception) -> None:
        self.results = list(results)
        self.policies: list[Policies] = []

    def __call__(self, settings: Settings, policies: Policies) -> Outcome:
        self.policies.append(policies)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def watch_of(settings: Settings, runs: Callable[[Settings, Policies], Outcome]) -> Watch:
    return Watch(settings, threading.Event(), once=runs)


def test_a_run_comes_every_ten_minutes_and_lines_are_logged_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = watch_of(settings, Runs(DONE, DONE, DONE._replace(notes=[]), DONE))
    assert [watch.step() for _ in range(4)] == [600.0] * 4
    # Said again once it is true again.
    assert caplog.messages.count("A line.") == 2


@pytest.mark.parametrize(
    "error", [Unavailable("MLflow can't be reached."), LeadsError("Something."), ZeroDivisionError("a text")]
)
def test_after_a_failure_it_waits_longer_each_time(
    error: Exception, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watch_of(settings, Runs(*[error] * 8, DONE, error))
    assert [watch.step() for _ in range(8)] == [15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    assert watch.step() == 600.0
    assert watch.step() == 15.0
    said = [record for record in caplog.records if "will be tried again" in record.getMessage()]
    assert len(said) == 2
    assert "a text" not in "".join(record.getMessage() for record in said)


def test_a_run_by_hand_is_no_failure(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    watch = watch_of(settings, Runs(Conflict("Another process is running the monitoring of this home.")))
    assert watch.step() == 600.0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_policies_are_read_again_and_invalid_ones_do_not_count(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = settings.policies.read_text()
    file = tmp_path / "policies.yaml"
    file.write_text(text)
    own = load_settings(home=settings.root, corpora=Path(), policies=file)
    runs = Runs(DONE, DONE, DONE, DONE)
    watch = watch_of(own, runs)
    watch.step()
    file.write_text(text + "\nmonitoring: {every_minutes: 3}\n")
    assert watch.step() == 180.0
    file.write_text("no: policies")
    assert [watch.step(), watch.step()] == [180.0, 180.0]
    assert caplog.text.count("Monitoring goes on with the policies that were read before.") == 1
    assert [one.monitoring.every_minutes for one in runs.policies] == [10, 3, 3, 3]


def test_without_valid_policies_it_waits(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("no: policies")
    watch = watch_of(load_settings(home=settings.root, corpora=Path(), policies=file), Runs())
    assert [watch.step(), watch.step()] == [15.0, 30.0]


def test_it_stops_within_a_run(settings: Settings) -> None:
    stopped = threading.Event()

    def once(_settings: Settings, _policies: Policies) -> Outcome:
        stopped.set()
        raise Stopped

    Watch(settings, stopped, once=once).watch()


def test_one_process_watches_a_home_and_another_takes_over(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.running.watching._ASK_S", 0.01)
    stopped = threading.Event()
    ran = threading.Event()

    def once(_settings: Settings, _policies: Policies) -> Outcome:
        ran.set()
        stopped.set()
        return DONE

    watch = Watch(settings, stopped, once=once)
    thread = threading.Thread(target=watch.watch)
    with only_one(settings.root / WATCH_LOCK, what="watching this home"):
        thread.start()
        assert not ran.wait(0.1)
    assert ran.wait(60)
    thread.join(60)
    assert not thread.is_alive()


def test_a_fast_clock_brings_runs_sooner(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    for speed in (60, 10_000):
        monkeypatch.setenv("LEADS_CLOCK", f"2026-03-01T00:00:00Z@{speed}@2026-03-01T00:00:00Z")
        waits.append(watch_of(settings, Runs(DONE)).step())
    assert waits == [10.0, 1.0]
