"""Moves aliases from a process of its own, so that MLflow's work doesn't delay whoever measures.

    python -m benchmarks.alias_mover HOME

reads lines of a harm and a version, and makes the version the harm's champion.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import REPOSITORY
from leads.processes import QUIET, die_with_parent, python
from leads.settings import Settings, load_settings
from models.registry.mlflow_registry import MlflowRegistry

_READY = "ready\n"
_NICENESS = 10


@contextmanager
def alias_mover(settings: Settings) -> Iterator[Callable[[str, str], None]]:
    """Gives a function that asks the process to make a version the champion of a harm, and doesn't wait for it."""
    path = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "clients" / "python")))
    with subprocess.Popen(
        python(__name__, str(settings.root)),
        cwd=REPOSITORY,
        env={**os.environ, **QUIET, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        asks = child.stdin
        assert child.stdout.readline() == _READY

        def move(harm: str, version: str) -> None:
            asks.write(f"{harm} {version}\n")
            asks.flush()

        yield move
        asks.close()
    assert child.returncode == 0


def main(home: str) -> None:
    die_with_parent()
    os.nice(_NICENESS)
    registry = MlflowRegistry(load_settings(home=Path(home), corpora="none"))
    registry.exists()
    registry.aliases("spam")
    print(_READY, end="", flush=True)
    for line in sys.stdin:
        harm, version = line.split()
        registry.set_alias(harm, "champion", version)


if __name__ == "__main__":
    main(*sys.argv[1:])
