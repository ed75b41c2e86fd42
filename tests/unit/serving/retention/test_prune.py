"""Old data go kind by kind, once a day by themselves, and a failure of one keeps no other from going."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from leads import clock
from leads.db.engine import reading
from leads.db.tables import idempotency
from leads.errors import Conflict, InvalidInput, Unavailable
from leads.files import keeping_out, only_one
from leads.retention import home
from leads.retention.kinds import PRUNED
from leads.retention.removal import LOCK_FILE, Pruned
from leads.settings import POLICIES_FILE, Settings, load_settings
from serving.observe.metrics_updates import update_storage
from serving.retention import prune as pruning
from serving.retention.daily import Daily
from serving.retention.prune import check_kinds, prune
from serving.retention.report import read_report
from serving.runtime import Runtime

DAY = clock.DAY


def report(settings: Settings, name: str, days_ago: float) -> Path:
    path = settings.reports_dir / "drift" / "spam" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 5_000)
    at = (clock.now() - days_ago * DAY) / 1e6
    os.utime(path, (at, at))
    return path


def respond(engine: Engine, days_ago: float) -> None:
    row = {"key_id": "k", "idempotency_key": f"{days_ago}", "request_hash": b"", "status": 200, "answer": b""}
    with engine.begin() as connection:
        connection.execute(sa.insert(idempotency), [{**row, "at": clock.now() - int(days_ago * DAY)}])


def responses(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(idempotency)).scalar_one()


def test_what_is_older_than_its_kind_is_kept_goes(settings: Settings, engine: Engine) -> None:
    old, new = report(settings, "old.html", 31), report(settings, "new.html", 29)
    respond(engine, 2)
    respond(engine, 0.5)
    counted = {one.kind: one for one in prune(settings, dry_run=True)}
    assert old.exists()
    assert responses(engine) == 2
    done = {one.kind: one for one in prune(settings)}
    assert done == counted
    assert done["reports"] == Pruned("reports", 1, 8_192)
    assert done["responses"] == Pruned("responses", 1, None)
    assert not old.exists()
    assert new.exists()
    assert responses(engine) == 1


def test_kinds_that_are_kept_forever_are_not_looked_at(settings: Settings, engine: Engine) -> None:
    assert "audit" not in {one.kind for one in prune(settings)}


def test_a_home_without_a_database_is_pruned_too(settings: Settings) -> None:
    old = report(settings, "old.html", 31)
    assert not any(one.trouble for one in prune(settings))
    assert not old.exists()
    assert not (settings.root / "leads.db").exists()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("evnts", "Kind 'evnts' not found."), ("events", "Data of the kind 'events' are not deleted: everything else")],
)
def test_kinds_that_are_not_deleted_are_refused(kind: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        check_kinds([kind])
    check_kinds(PRUNED)


def test_a_kind_that_fails_keeps_no_other_from_going(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(settings: Settings, before: int, dry_run: bool) -> Pruned:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(home, "PRUNES", {**home.PRUNES, "predictions": fails})
    old = report(settings, "old.html", 31)
    done = {one.kind: one.trouble for one in prune(settings)}
    assert "Permission denied" in done.pop("predictions")
    assert set(done.values()) == {""}
    assert not old.exists()


def test_two_do_not_prune_at_once(settings: Settings, engine: Engine) -> None:
    with only_one(settings.root / LOCK_FILE, what="deleting old data"), pytest.raises(Conflict):
        prune(settings)


def test_once_a_day_by_itself(settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.retention")
    now = clock.now()
    daily = Daily(settings, clock_=lambda: now)
    first = report(settings, "old.html", 31)
    respond(engine, 2)
    assert daily.step() == 0
    assert not first.exists()
    assert responses(engine) == 0
    assert "deleted old data of the kind reports: 1, 8,192 bytes" in caplog.text
    found = read_report(settings.root)
    assert (found.at, found.deleted["reports"], found.failed) == (now, 8_192, ())
    second = report(settings, "older.html", 31)
    now += DAY - 1
    daily.step()
    assert second.exists()
    now += 1
    daily.step()
    assert not second.exists()


def test_only_one_host_deletes_what_all_share(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    Daily(settings).step()
    other = load_settings(home=tmp_path / "other", corpora=Path(), database_url=settings.database)
    respond(engine, 2)
    old = report(other, "old.html", 31)
    Daily(other).step()
    assert not old.exists()
    assert responses(engine) == 1


def test_while_the_database_is_down_the_home_is_pruned(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*args: object, **options: object) -> Engine:
        raise Unavailable("The database doesn't answer.")

    monkeypatch.setattr("serving.retention.daily.open_engine", down)
    monkeypatch.setattr(pruning, "open_engine", down)
    old = report(settings, "old.html", 31)
    Daily(settings).step()
    assert not old.exists()


def test_the_metrics_show_the_last_report(runtime: Runtime) -> None:
    update_storage(runtime)
    assert "leads_pruned_timestamp_seconds 0.0" in runtime.metrics.text().decode()
    report(runtime.settings, "old.html", 31)
    Daily(runtime.settings).step()
    update_storage(runtime)
    text = runtime.metrics.text().decode()
    assert 'leads_pruned_bytes{kind="reports"} 8192.0' in text
    assert 'leads_stored_bytes{kind="published"}' in text
    assert 'leads_stored_bytes{kind="reports"} 0.0' in text
    assert "leads_prune_failures 0.0" in text


def test_the_commands(settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text(POLICIES_FILE.read_text() + "\nretention:\n  reports: 7d\n")
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    monkeypatch.setenv("LEADS_POLICIES", str(policies))
    old = report(settings, "old.html", 8)
    shown = CliRunner().invoke(app, ["du"])
    assert shown.exit_code == 0
    (line,) = [line for line in shown.output.splitlines() if line.startswith("reports")]
    assert line.split()[1:3] == ["8.2", "kB"]
    assert line.split()[-1] == "7d"
    as_json = CliRunner().invoke(app, ["du", "--json"])
    assert '"kind": "reports"' in as_json.output
    planned = CliRunner().invoke(app, ["prune", "--dry-run", "--kind", "reports"])
    assert "Would be deleted: 8.2 kB." in planned.output
    assert old.exists()
    assert "Deleted: 8.2 kB." in CliRunner().invoke(app, ["prune"]).output
    assert not old.exists()
    assert CliRunner().invoke(app, ["prune", "--kind", "evnts"]).exit_code == 1


def test_while_another_process_has_the_home_no_turn_is_lost(settings: Settings, engine: Engine) -> None:
    """What all hosts share is deleted by the host whose turn it is, so that has to use it."""
    respond(engine, 2)
    daily = Daily(settings)
    with keeping_out(settings.root / LOCK_FILE):
        daily.step()
    assert responses(engine) == 1
    daily.step()
    assert responses(engine) == 0
