"""`leads status` and `leads doctor`: exit codes, JSON, and what they say about broken set-ups."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from leads.db.engine import migrate
from leads.errors import ConfigurationError
from leads.settings import PACKAGES, Settings, load_settings

SECRET = "hunter2"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LEADS_CORPORA", "none")
    # Nothing listens there.
    monkeypatch.setenv("LEADS_PORT", "1")
    return tmp_path / "home"


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert SECRET not in result.output
    return result


def document(*words: str, code: int = 0) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exit_code == code, result.output
    made: dict[str, Any] = json.loads(result.stdout)
    assert made["ok"] is (code == 0)
    for check in made["checks"]:
        assert check.keys() == {"check", "state", "detail", "why", "remedy"}
    return made


def states(made: dict[str, Any]) -> dict[str, str]:
    return {one["check"]: one["state"] for one in made["checks"]}


def test_status_is_one_document_for_programs(home: Path) -> None:
    made = document("status")
    assert made["contents"] is None
    assert not home.exists()
    migrate(load_settings())
    made = document("status")
    assert made["home"] == str(home)
    assert made["contents"]["events"] == 0
    assert made["contents"]["champions"] == {}
    assert states(made) == {
        "database": "ok", "mlflow": "ok", "online_store": "ok", "state_store": "ok", "api": "not_running",
        "follower": "not_running", "worker": "not_running", "monitor": "not_running", "disk": "ok",
        "permissions": "ok",
    }  # fmt: skip


def test_parts_that_do_not_run_fail_only_if_required(home: Path) -> None:
    migrate(load_settings())
    assert run("status").exit_code == 0
    assert run("status", "--require", "api").exit_code == 1
    assert document("status", "--require", "worker", code=1)["ok"] is False
    assert run("status", "--require", "everything").exit_code == 2


def test_a_redis_that_is_down_fails_status_but_not_what_it_shows(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(load_settings())
    monkeypatch.setenv("LEADS_ONLINE_STORE", "redis")
    monkeypatch.setenv("LEADS_REDIS_URL", f"redis://:{SECRET}@127.0.0.1:1/0")
    result = run("status")
    assert result.exit_code == 1
    assert "API keys" in result.output
    made = document("status", code=1)
    assert states(made)["online_store"] == "failed"
    assert made["contents"]["events"] == 0


def test_a_database_that_is_down_is_a_finding(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_DATABASE_URL", f"postgresql+psycopg://u:{SECRET}@127.0.0.1:1/leads")
    made = document("status", code=1)
    assert states(made)["database"] == "failed"
    assert made["contents"] is None


def test_misspelt_variables_are_warned_about(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_POLICY", SECRET)
    result = run("status")
    assert result.exit_code == 0
    assert result.stderr.count("LEADS_POLICY isn't a setting") == 1
    assert json.loads(run("status", "--json").stdout)["ok"]
    assert states(document("doctor"))["variables"] == "warning"
    assert "Did you mean LEADS_POLICIES?" in run("doctor").output.replace("\n", "")


def test_a_good_set_up_has_nothing_to_report(home: Path) -> None:
    migrate(load_settings())
    made = document("doctor")
    assert set(states(made).values()) <= {"ok", "warning", "not_running"}
    settings = {one["name"]: one for one in made["settings"]}
    assert settings.keys() == {f"LEADS_{name.upper()}" for name in Settings.model_fields}
    assert settings["LEADS_HOME"] == {"name": "LEADS_HOME", "value": str(home), "source": "environment"}
    assert settings["LEADS_WORKERS"]["source"] == "default"


def test_settings_are_shown_without_secrets(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("DATABASE_URL", f"postgresql+psycopg://u:{SECRET}@127.0.0.1:1/leads?password={SECRET}"),
        ("REDIS_URL", f"127.0.0.1:1,password={SECRET}"),
        ("MLFLOW_URI", f"http://u:{SECRET}@127.0.0.1:1"),
        ("ONLINE_STORE", "redis"),
        ("ONLINE_STORE_OPTIONS", f'{{"connection_string": "127.0.0.1:1,password={SECRET}"}}'),
    ):
        monkeypatch.setenv(f"LEADS_{name}", value)
    made = document("doctor", code=1)
    shown = {one["name"]: one["value"] for one in made["settings"]}
    assert shown["LEADS_REDIS_URL"] == "127.0.0.1:1"
    assert shown["LEADS_DATABASE_URL"] == "PostgreSQL at 127.0.0.1:1/leads"
    assert {"database", "mlflow", "online_store", "mlflow_artifacts"} <= {
        name for name, state in states(made).items() if state == "failed"
    }
    run("doctor")


@pytest.mark.parametrize(
    ("name", "value", "check", "says"),
    [
        ("LEADS_PORT", "many", "settings", "LEADS_PORT"),
        ("LEADS_POLICIES", "nowhere.yaml", "policies", "nowhere.yaml"),
        ("LEADS_PLATFORM", "nowhere.yaml", "platform", "nowhere.yaml"),
        ("LEADS_CORPORA", "nowhere", "corpora", "nowhere"),
        ("LEADS_FEATURE_VIEWS", "nowhere", "feature_views", "nowhere"),
        ("LEADS_HOST", "192.0.2.1", "port", "192.0.2.1"),
        ("LEADS_ONLINE_STORE", "nowhere.NoOnlineStore", "extras", "nowhere"),
    ],
)
def test_each_broken_part_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, check: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    made = document("doctor", code=1)
    failed = [one for one in made["checks"] if one["check"] == check]
    assert [one["state"] for one in failed] == ["failed"]
    assert says in failed[0]["detail"]
    assert failed[0]["remedy"]
    assert run("doctor").exit_code == 1


def test_every_wrong_training_configuration_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PACKAGES / "training" / "harms", tmp_path / "training")
    (tmp_path / "training" / "spam.yaml").write_text("nonsense: 1\n")
    monkeypatch.setenv("LEADS_TRAINING", str(tmp_path / "training"))
    (found,) = (one for one in document("doctor", code=1)["checks"] if one["check"] == "training")
    assert "spam.yaml:1" in found["detail"]


@pytest.mark.slow
def test_an_unknown_user_without_home_and_temporary_folder_can_work() -> None:
    """As in a container that runs as any user: no entry in /etc/passwd, no HOME, and a HOME that isn't writable."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become another user, with setpriv")
    command = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", sys.executable, "-P", "-m", "cli"]
    # Not in pytest's folder, which other users can't enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        few = ("migrate", "models list", "worker --once")
        all_ = ("migrate", "keys create me", *few[1:], "status")
        for given, commands in (({}, all_), ({"HOME": "/"}, few), ({"HOME": "/nonexistent"}, few)):
            home = folder / f"home{len(list(folder.iterdir()))}"
            home.mkdir()
            os.chown(home, 54_321, 54_321)
            env = {"PATH": os.environ["PATH"], "LEADS_HOME": str(home), "LEADS_CORPORA": "none", **given}
            env |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
            for words in commands:
                done = subprocess.run(
                    [*command, *words.split()],
                    env=env, cwd="/", capture_output=True, text=True, check=False,
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
                assert "Traceback" not in done.stderr
            assert (home / "user").is_dir()


@pytest.mark.slow
def test_temporary_files_are_in_the_home_if_their_folders_are_read_only() -> None:
    """As in a container with a read-only root file system and one volume, LEADS_HOME."""
    if os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can mount file systems")
    mounts = (
        "for at in /tmp /var/tmp; do mount --bind $at $at && mount -o remount,ro,bind $at || exit 42; done; "
        # Pytest's folder may be below one of those.
        "mount -t tmpfs none /mnt || exit 42"
    )
    code = "import tempfile; from cli.app import _start; _start(); print(tempfile.mkdtemp())"
    command = ["unshare", "-m", "sh", "-c", f'{mounts}; cd / && exec "$0" -P -c "{code}"', sys.executable]
    env = {**os.environ, "LEADS_HOME": "/mnt/state", "LEADS_CORPORA": "none", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode == 42:
        pytest.skip("this host allows no mounts")
    assert done.stdout.startswith("/mnt/state/tmp/"), done.stderr


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LEADS_DATABASE_URL", f"postgres://leads:{SECRET}@db/leads", "Neither SQLite nor PostgreSQL"),
        ("LEADS_ONLINE_STORE_OPTIONS", f"password={SECRET}", "must be a JSON object"),
        ("LEADS_HOME", __file__, "is a file"),
    ],
)
def test_a_setting_that_cannot_be_used_is_reported_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    made = document("doctor", code=1)
    (failed,) = [one for one in made["checks"] if one["state"] == "failed"]
    assert failed["check"] == "settings"
    assert failed["detail"].startswith(f"{name}: ")
    assert says in failed["detail"]
    status = CliRunner().invoke(app, ["status"])
    assert isinstance(status.exception, ConfigurationError)
    assert SECRET not in status.output + str(status.exception)


@pytest.mark.slow
def test_an_empty_database_on_a_server_is_a_beginning(
    home: Path, monkeypatch: pytest.MonkeyPatch, postgresql_url: str
) -> None:
    monkeypatch.setenv("LEADS_DATABASE_URL", postgresql_url)
    made = document("status")
    assert made["contents"] is None
    assert states(made)["database"] == "warning"
    result = run("status")
    assert result.exit_code == 0
    assert "The database has no tables yet." in result.output
    assert "leads migrate" in result.output.partition("Next:")[2].splitlines()[1]
    for words, empty in (
        (("models", "list"), "No version is registered yet."),
        (("models", "history", "spam"), "There are no changes to versions of spam yet."),
        (("prune",), "Deleted:"),
        (("du",), "Files of this home"),
    ):
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert empty in result.output
    assert run("migrate").exit_code == 0
    assert document("status")["contents"]["events"] == 0
