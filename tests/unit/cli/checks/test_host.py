"""Checks of this host."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from cli.checks import host
from cli.checks.findings import Finding
from leads.environment import process
from leads.settings import Settings, load_settings

Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.mark.parametrize(("free_gb", "state"), [(100, "ok"), (1.5, "warning"), (0.1, "failed")])
def test_little_space_is_found(free_gb: float, state: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    free = round(free_gb * (1 << 30))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2 * free, free, free))
    found = host.check_disk(settings)
    assert found.state == state
    assert f"{free_gb:.1f} GB" in found.detail


def test_a_home_that_cannot_be_written_to_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(home=tmp_path / "home", corpora="none")
    assert host.check_permissions(settings).state == "ok"
    settings.root.mkdir(mode=0o700)
    (settings.root / "logs").mkdir(mode=0o700)
    assert host.check_permissions(settings).state == "ok"
    # Root may write everywhere, so what the system says is replaced.
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).name != "logs")
    found = host.check_permissions(settings)
    assert found.state == "failed"
    assert "logs belongs to another user" in found.detail
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert "isn't a folder that the user" in host.check_permissions(settings).detail
    file = load_settings(home=tmp_path / "file", corpora="none")
    file.root.write_text("")
    assert host.check_permissions(file).state == "failed"


@pytest.mark.parametrize(
    ("kind", "state"), [("ext4", "ok"), ("overlay", "ok"), ("nfs4", "warning"), ("fuse.sshfs", "warning")]
)
def test_sqlite_on_a_network_file_system_is_found(
    kind: str, state: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_file_system", lambda _: kind)
    assert host.check_file_system(settings).state == state
    servers = load_settings(
        home=settings.home, online_store="redis", state_store="redis", database_url="postgresql+psycopg://h/leads"
    )
    assert host.check_file_system(servers).state == "ok"


def test_the_file_system_of_a_folder_is_known() -> None:
    assert host._file_system(Path("/proc/self")) == "proc"
    assert host._file_system(Path("/"))


def test_folders_for_temporary_files_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.check_temporary_files().state == "ok"
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    assert "is used instead" in host.check_temporary_files().detail

    def none() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert host.check_temporary_files().state == "failed"


def test_few_open_files_and_an_unknown_user_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert "256 files" in host.check_open_files().detail
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4096, 4096))
    assert host.check_open_files().state == "ok"
    monkeypatch.setattr(process, "lacked", ["HOME isn't set."])
    assert host.check_user().state == "warning"
    monkeypatch.setattr(process, "lacked", [])
    assert host.check_user().state == "ok"


def test_the_clock_of_a_database_server_is_compared(any_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.check_clock(any_settings).state == "ok"
    if any_settings.database.startswith("sqlite"):
        return
    real = host.time.time
    monkeypatch.setattr(host.time, "time", lambda: real() + 120)
    found = host.check_clock(any_settings)
    assert found.state == "warning"
    assert "differ by 1" in found.detail


def test_a_clock_that_is_set_is_a_warning_in_the_status(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "set_clock" not in [check.name for check in host.host_checks(settings)]
    for value, said in (
        ("2025-01-10T00:00:00Z", "shows 2025-01-10T00:00:00Z and stands still"),
        ("2025-01-10T00:00:00Z@60@2026-03-01T12:00:00Z", "runs 60 times as fast as this host's"),
    ):
        monkeypatch.setenv("LEADS_CLOCK", value)
        (check,) = [one for one in host.host_checks(load_settings(home=settings.home)) if one.name == "set_clock"]
        found = check.run()
        assert isinstance(found, Finding)
        assert found.state == "warning"
        assert said in found.detail
