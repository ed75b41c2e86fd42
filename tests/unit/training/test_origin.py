from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from leads.db.model_changes import current_actor
from training import origin


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_is_named_by_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    assert origin.git_commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert origin.git_commit(tmp_path) is None
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert origin.git_commit(tmp_path) == commit
    (tmp_path / "code.py").write_text("2\n")
    assert origin.git_commit(tmp_path) == f"{commit} with local changes"


def test_a_folder_inside_of_another_checkout_has_no_commit(tmp_path: Path) -> None:
    """An installed package may lie in a virtual environment below somebody's own repository."""
    git(tmp_path, "init", "-q")
    (tmp_path / "inside").mkdir()
    assert origin.git_commit(tmp_path / "inside") is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert origin.git_commit(tmp_path) is None


def test_mlflow_gets_the_same_in_its_own_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "git_commit", lambda _: "abc with local changes")
    found = origin.origin()
    assert (found["trained_by"], found["git_commit"]) == (current_actor(), "abc with local changes")
    assert origin.mlflow_tags(found, "leads train") == {
        "mlflow.user": current_actor(),
        "mlflow.source.name": "leads train",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": "abc",
    }
    del found["git_commit"]
    assert "mlflow.source.git.commit" not in origin.mlflow_tags(found, "leads train")
