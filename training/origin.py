"""Who trains, and with which code: what every run and every version is tagged with."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from leads.db.model_changes import current_actor
from models.registry.versions import GIT_COMMIT, RELEASE, TRAINED_BY

_DISTRIBUTION = "lead-serving"
_CODE = Path(__file__).resolve().parents[1]
_TIMEOUT_S = 5
_CHANGED = " with local changes"


def origin() -> dict[str, str]:
    """Tags that say who trains, with which release, and from which commit if the code is a Git checkout."""
    tags = {TRAINED_BY: current_actor()}
    with suppress(PackageNotFoundError):
        tags[RELEASE] = version(_DISTRIBUTION)
    commit = git_commit(_CODE)
    return tags if commit is None else {**tags, GIT_COMMIT: commit}


def mlflow_tags(found: dict[str, str], source: str) -> dict[str, str]:
    """The same in MLflow's own tags, which its pages show in places of their own.

    Args:
        found: from `origin`.
        source: what trains, such as a command.
    """
    tags = {"mlflow.user": found[TRAINED_BY], "mlflow.source.name": source, "mlflow.source.type": "LOCAL"}
    commit = found.get(GIT_COMMIT)
    return tags if commit is None else {**tags, "mlflow.source.git.commit": commit.removesuffix(_CHANGED)}


def git_commit(folder: Path) -> str | None:
    """The commit that a Git checkout is at, and whether its files differ from it; None if `folder` isn't one."""
    if not (folder / ".git").exists():
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return commit + (_CHANGED if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str | None:
    """What a Git command prints; None if it fails or Git isn't installed."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.strip() if ran.returncode == 0 else None
