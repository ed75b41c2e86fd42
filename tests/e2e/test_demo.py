"""The demo from nothing, again, and killed at seeded moments: equal leads, and nothing left running."""

from __future__ import annotations

import random
import time
import zipfile
from pathlib import Path

import pytest

from leads.db.engine import open_engine, reading
from leads.db.monitoring import alerts
from leads.files import readable_by_others
from leads.settings import load_settings
from tests.support.demo_runs import decided_of, kill_demo, leads_of, prepare, run_demo, still_running
from tests.support.wheels import build_wheels, install

SOAK_KILLS = 20
TEST_KILLS = 1

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Undisturbed:
    """A finished demo: where, how long it took, what it printed, the leads it made."""

    def __init__(self, home: Path, log: Path, leads: Path, folder: Path) -> None:
        self.home, self.log = home, log
        self.seconds = run_demo(prepare(home), log, [str(leads)], folder)
        self.leads = leads_of(home)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def undisturbed(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A demo of the installed wheels, run from an empty folder."""
    folder = tmp_path_factory.mktemp("demo")
    leads = install(wheels, folder / "environment") / "leads"
    (folder / "empty").mkdir()
    return Undisturbed(folder / "home", folder / "demo.log", leads, folder / "empty")


def test_the_wheel_holds_the_packages_and_their_files_and_nothing_else(wheels: list[Path]) -> None:
    platform, client = (set(zipfile.ZipFile(wheel).namelist()) for wheel in wheels)
    tops = {name.partition("/")[0] for name in platform if ".dist-info/" not in name}
    assert tops == {"cli", "features", "leads", "models", "monitoring", "serving", "simulation", "training"}
    assert {name.partition("/")[0] for name in client if ".dist-info/" not in name} == {"leads_client"}
    assert {
        "leads/policies.yaml",
        "leads/db/migrations/env.py",
        "training/harms/spam.yaml",
        "training/behaviour/suites/spam.yaml",
    } <= platform


def test_the_demo_ends_with_leads_a_decision_and_an_alert(undisturbed: Undisturbed) -> None:
    shown = undisturbed.log.read_text()
    for part in (
        "Corpora: turned off by LEADS_CORPORA",
        "built-in templates",
        "Leads compared with the true labels",
        "GET /v1/leads",
        "leads-spam v1",
        "POST /v1/leads/claim",
        "POST /v1/score",
        "Alerts",
        "leads alerts show",
        "Runbook: docs/runbook/",
        "evidently ui --workspace",
    ):
        assert part in shown
    assert "Traceback" not in shown
    assert {lead[3] for lead in undisturbed.leads} == {"spam", "harassment", "stream_manipulation"}
    assert decided_of(undisturbed.home) == 1
    assert list((undisturbed.home / "reports").rglob("*.html"))
    assert not still_running(undisturbed.home)


def test_the_alert_about_the_campaign_is_the_first_of_few(undisturbed: Undisturbed) -> None:
    engine = open_engine(load_settings(home=undisturbed.home, corpora=""))
    with reading(engine) as connection:
        found = alerts.unresolved(connection)
    engine.dispose()
    waiting = [one for one in found if one.rule == "queue_old"]
    assert all(one.state == "acknowledged" for one in waiting)
    fires = [one for one in found if one not in waiting]
    assert 1 <= len(fires) <= 8
    first = fires[0]
    # Which of them is first depends on the time of the day.
    assert first.rule in ("flagged_surge", "score_drift", "input_drift")
    assert first.harm == "stream_manipulation"
    assert len({(one.rule, one.harm) for one in found}) == len(found)
    shown = undisturbed.log.read_text()
    assert f"leads alerts show {first.seq}" in shown


def test_only_the_owner_can_read_what_the_demo_wrote(undisturbed: Undisturbed) -> None:
    """MLflow, Feast, BentoML and the workers write to a home that was there before and that others may enter."""
    assert undisturbed.home.stat().st_mode & 0o077
    assert readable_by_others(undisturbed.home) is None


def test_a_second_run_skips_what_is_done(undisturbed: Undisturbed) -> None:
    log = undisturbed.log.with_name("second.log")
    seconds = run_demo(undisturbed.home, log)
    assert log.read_text().count("Done by an earlier run.") == 9
    assert seconds < undisturbed.seconds
    assert leads_of(undisturbed.home) == undisturbed.leads
    assert decided_of(undisturbed.home) == 1


def killed_somewhere(undisturbed: Undisturbed, tmp_path: Path, seed: int) -> None:
    home, log = prepare(tmp_path / "home"), tmp_path / "demo.log"
    moment = random.Random(seed).uniform(0.5, undisturbed.seconds * 0.97)
    kill_demo(home, log, moment)
    run_demo(home, log)
    assert leads_of(home) == undisturbed.leads
    assert decided_of(home) == 1
    deadline = time.monotonic() + 30
    while still_running(home) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not still_running(home)


@pytest.mark.parametrize("seed", range(TEST_KILLS))
def test_killed_and_run_again_it_completes_with_equal_leads(
    undisturbed: Undisturbed, tmp_path: Path, seed: int
) -> None:
    killed_somewhere(undisturbed, tmp_path, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(TEST_KILLS, SOAK_KILLS))
def test_killed_at_many_moments(undisturbed: Undisturbed, tmp_path: Path, seed: int) -> None:
    killed_somewhere(undisturbed, tmp_path, seed)
