"""A user without a name, a home directory or a folder for temporary files gets them in the platform's home."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from leads.environment import process

UNKNOWN = 54_321


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "lacked", [])
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME", "TMPDIR"):
        # Also puts back what the code under test sets.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user has no entry in /etc/passwd."""
    # Pytest, too, asks who the user is when it makes that folder.
    assert tmp_path.is_dir()

    def entry(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", entry)
    monkeypatch.setattr(os, "getuid", lambda: UNKNOWN)


def test_a_usual_process_lacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "me")
    assert not process.lacks()
    process.replace_missing(tmp_path / "home")
    assert not (tmp_path / "home").exists()
    assert (os.environ["HOME"], os.environ["LOGNAME"]) == (str(tmp_path), "me")


def test_an_empty_home_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    process.lacks()
    assert "HOME" not in os.environ


@pytest.mark.usefixtures("unknown")
def test_an_unknown_user_gets_a_name_and_a_home(tmp_path: Path) -> None:
    assert process.lacks()
    assert process.lacked == [f"The user {UNKNOWN} has no name.", "HOME isn't set."]
    process.replace_missing(tmp_path)
    assert Path.home() == tmp_path / "user"
    assert (tmp_path / "user").stat().st_mode & 0o777 == 0o700
    assert os.environ["LOGNAME"] == f"user-{UNKNOWN}"
    # What was missing at first is still known.
    assert process.lacks()
    assert len(process.lacked) == 2


@pytest.mark.usefixtures("unknown")
def test_a_home_that_does_not_exist_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    assert process.lacks()
    assert "HOME is /nonexistent, which doesn't exist or can't be read." in process.lacked
    process.replace_missing(tmp_path)
    assert os.environ["HOME"] == str(tmp_path / "user")


def test_without_a_folder_for_temporary_files_one_in_the_home_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "me")
    real = tempfile._get_default_tempdir  # type: ignore[attr-defined]

    def only_by_variable() -> str:
        if not os.environ.get("TMPDIR"):
            raise FileNotFoundError(2, "No usable temporary directory found")
        return str(real())

    monkeypatch.setattr(tempfile, "_get_default_tempdir", only_by_variable)
    assert process.lacks()
    assert process.lacked == ["No folder for temporary files can be written to."]
    process.replace_missing(tmp_path / "home")
    with tempfile.NamedTemporaryFile() as file:
        assert Path(file.name).parent == tmp_path / "home" / "tmp"


def test_the_working_directory_does_not_count_as_a_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "me")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert process.lacks()
    process.replace_missing(tmp_path / "home")
    assert os.environ["TMPDIR"] == str(tmp_path / "home" / "tmp")
