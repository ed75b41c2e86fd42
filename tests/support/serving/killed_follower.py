"""A follower that dies in the middle of a step, in a process of its own: XGBoost doesn't survive a fork.

    python -m tests.support.serving.killed_follower HOME REGISTRY ALIASES verify VERSION
    python -m tests.support.serving.killed_follower HOME REGISTRY ALIASES rename COUNT

It dies when it loads that version, or around that many renames of folders.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from leads.processes import python
from leads.settings import Settings, load_settings
from models.version import ModelVersion, load
from serving.versions.follower import Follower
from tests.support.paths import REPOSITORY
from tests.support.serving.fake_registry import FakeRegistry
from tests.support.serving.world import POLICIES

_CODE = 9


def killed(settings: Settings, registry: FakeRegistry, when: str, what: str) -> bool:
    """Run such a follower; returns whether it died where it should."""
    given = (str(settings.root), str(registry.source), json.dumps(registry.named), when, what)
    done = subprocess.run(
        python(__name__, *given),
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "clients" / "python")))},
        check=False,
    )
    return done.returncode == _CODE


def main(home: str, source: str, named: str, when: str, what: str) -> None:
    registry = FakeRegistry(Path(source))
    registry.named = json.loads(named)

    def dies(folder: Path) -> ModelVersion:
        if when == "verify" and folder.name == what:
            os._exit(_CODE)
        return load(folder)

    left, rename = [int(what)], Path.rename

    def renames(path: Path, target: Path) -> Path:
        if not left[0]:
            os._exit(_CODE)
        left[0] -= 1
        renamed: Path = rename(path, target)
        if not left[0]:
            os._exit(_CODE)
        return renamed

    if when == "rename":
        Path.rename = renames  # type: ignore[method-assign, assignment]
    Follower(load_settings(home=Path(home), corpora=Path()), POLICIES, registry, load_=dies).step()


if __name__ == "__main__":
    main(*sys.argv[1:])
