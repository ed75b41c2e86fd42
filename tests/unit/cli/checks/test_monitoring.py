"""What `leads status` and `leads doctor` say about monitoring."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from cli.checks.monitoring import check_monitor, check_settings
from leads import clock
from leads.clock import Micros
from leads.db.monitoring import runs
from leads.settings import Settings, load_settings


def ran(engine: Engine, ago: Micros, *, host: str = "h", failed: bool = False, notes: tuple[str, ...] = ()) -> None:
    """Record a run that began so long ago."""
    at = clock.now() - ago
    with engine.begin() as connection:
        id_ = runs.begin(connection, host, at)
        runs.end(connection, id_, at + clock.SECOND, until=at, notes=notes, failed=failed)


def test_a_home_without_a_database_or_a_run_is_not_watched(settings: Settings, tmp_path: Path) -> None:
    assert check_monitor(load_settings(home=tmp_path / "none")).state == "not_running"


def test_monitoring_is_known_by_its_last_run(settings: Settings, engine: Engine) -> None:
    found = check_monitor(settings)
    assert (found.state, found.detail) == ("not_running", "It has never run.")
    ran(engine, 4 * clock.MINUTE)
    found = check_monitor(settings)
    assert found.state == "ok"
    assert found.detail.startswith("The last run began 4 min ago, measured up to ")


def test_monitoring_that_has_missed_runs_does_not_run(settings: Settings, engine: Engine) -> None:
    ran(engine, 31 * clock.MINUTE)
    found = check_monitor(settings)
    assert found.state == "not_running"
    assert "leads serve" in found.remedy
    # On any host.
    ran(engine, 29 * clock.MINUTE, host="other")
    assert check_monitor(settings).state == "ok"


def test_a_failed_run_is_a_warning_that_names_what_failed(settings: Settings, engine: Engine) -> None:
    ran(engine, clock.MINUTE, failed=True, notes=("Another line.", "Measuring skew of spam failed: no segments."))
    found = check_monitor(settings)
    assert found.state == "warning"
    assert "skew of spam failed" in found.detail
    assert "Another line" not in found.detail
    # One that is running now says nothing yet.
    with engine.begin() as connection:
        runs.begin(connection, "other", clock.now())
    assert check_monitor(settings).state == "warning"


def test_a_run_that_was_killed_says_so_and_not_what_it_noted_before(settings: Settings, engine: Engine) -> None:
    ran(engine, clock.MINUTE, failed=True, notes=("Evidently isn't installed here.", runs.KILLED))
    found = check_monitor(settings)
    assert "was killed" in found.detail
    assert "Evidently" not in found.detail


def policies(tmp_path: Path, settings: Settings, section: str) -> Path:
    file = tmp_path / "policies.yaml"
    file.write_text(f"{settings.policies.read_text()}\nmonitoring: {section}\n")
    return file


@pytest.mark.parametrize(
    ("section", "given", "states", "text"),
    [
        ("{}", {}, ["ok"], "name no webhook"),
        ("{}", {"monitor": "off"}, ["warning", "ok"], "LEADS_MONITOR is off"),
        ("{webhook: {url: 'https://example.org/a'}}", {}, ["failed"], "LEADS_ALERT_WEBHOOK_SECRET isn't set"),
        ("{rules: {skew: {enabled: false}}}", {}, ["ok", "ok"], "Rules that are off: skew"),
    ],
)
def test_settings_are_judged(
    section: str, given: dict[str, str], states: list[str], text: str, tmp_path: Path, settings: Settings
) -> None:
    own = load_settings(home=tmp_path, policies=policies(tmp_path, settings, section), **given)
    found = check_settings(own)
    assert [one.state for one in found] == states
    assert any(text in one.detail for one in found)
