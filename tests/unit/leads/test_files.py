"""Who may read what this project writes."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from cli.demo_run import Demo
from cli.ui.status import show_status
from features.offline.segments import Segments
from features.state.fence import home_id
from leads.db.engine import migrate
from leads.errors import ConfigurationError
from leads.files import keep_private, private_folder, readable_by_others, write_json
from leads.policies import load_policies
from leads.processes import start
from leads.settings import Settings, load_settings


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folders_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    os.umask(umask)
    private_folder(tmp_path / "a" / "b")
    private_folder(tmp_path / "a" / "b" / "c")
    write_json(tmp_path / "x" / "y.json", {})
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c", "x")] == [0o700] * 4


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(ConfigurationError, match="file where a folder is needed") as error:
        write_json(tmp_path / "a" / "b" / "c.json", {})
    assert error.value.field == str(tmp_path / "a")


def test_an_existing_folder_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    private_folder(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o755


def test_what_a_process_creates_is_private(tmp_path: Path) -> None:
    keep_private()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("x")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o700, 0o600)


def test_what_a_child_creates_is_private(tmp_path: Path) -> None:
    code = f"import sqlite3; sqlite3.connect({str(tmp_path / 'x.db')!r}).execute('create table x (y)')"
    child = start((sys.executable, "-c", code), env={}, log=tmp_path / "logs" / "child.log")
    assert child.wait(60) == 0
    assert (mode(tmp_path / "x.db"), mode(tmp_path / "logs")) == (0o600, 0o700)


def test_readable_means_that_nothing_above_keeps_others_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "closed").mkdir(parents=True)
    (home / "closed" / "file").write_text("x")
    (home / "link").symlink_to(tmp_path)
    home.chmod(0o755)
    (home / "closed").chmod(0o700)
    assert readable_by_others(home) is None
    (home / "closed").chmod(0o750)
    assert readable_by_others(home) == home / "closed" / "file"
    home.chmod(0o700)
    assert readable_by_others(home) is None
    assert readable_by_others(tmp_path / "nothing") is None


def test_status_warns_when_others_can_read_the_home(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(settings)
    show_status(settings, load_policies(settings.policies))
    assert "Other users" not in capsys.readouterr().out
    settings.root.chmod(0o755)
    show_status(settings, load_policies(settings.policies))
    shown = capsys.readouterr().out
    assert f"OtherusersofthishostcanreadX{settings.root / 'leads.db'}".replace("X", "") in "".join(shown.split())
    fix = next(line for line in shown.splitlines() if line.startswith("permissions:")).partition(":")[2]
    assert os.system(fix) == 0
    show_status(settings, load_policies(settings.policies))
    assert "Other users" not in capsys.readouterr().out
    # A database elsewhere has to be private, too.
    elsewhere = settings.root.parent / "elsewhere.db"
    shutil.copy(settings.root / "leads.db", elsewhere)
    moved = load_settings(home=settings.home, corpora="none", database_url=f"sqlite:///{elsewhere}")
    elsewhere.chmod(0o644)
    show_status(moved, load_policies(settings.policies))
    assert f"canread{elsewhere}" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("raw", [b"", b'{"offset": 1', b"[]", b'{"offset": "x"}', b'{"segments": {"\xff": []}}'])
def test_a_damaged_json_file_is_named_with_the_fix(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "manifest-0of1.json"
    path.write_bytes(raw)
    with pytest.raises(ConfigurationError, match=r"The file is damaged: .*--rebuild --once") as refused:
        Segments(tmp_path).manifest()
    assert refused.value.field == str(path)


def test_every_json_file_of_the_home_names_its_fix(tmp_path: Path) -> None:
    (tmp_path / "state-home").write_bytes(b'"abc')
    with pytest.raises(ConfigurationError, match="--rebuild --once"):
        home_id(tmp_path)
    (tmp_path / "demo.json").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="leads demo --fresh"):
        Demo(load_settings(home=tmp_path, corpora=""), quick=True, seed=1)


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "manifest-0of1.json").mkdir()
    with pytest.raises(ConfigurationError, match="can't be read"):
        Segments(tmp_path).manifest()
