"""Work that is measured in a process of its own, so that its memory can be told from everything else's."""

from __future__ import annotations

import json
import os
import subprocess

from benchmarks.report import REPOSITORY
from leads.processes import QUIET, python
from leads.settings import Settings


def run_json(settings: Settings, module: str, *arguments: str, partitions: int = 1) -> dict[str, float]:
    """Run a module in this home; returns the JSON object that its last line holds.

    Raises:
        CalledProcessError: it failed; what it wrote to standard error was shown as it came.
    """
    home = {"LEADS_HOME": str(settings.root), "LEADS_CORPORA": "none", "LEADS_PARTITIONS": str(partitions)}
    path = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "clients" / "python")))
    done = subprocess.run(
        python(module, *arguments),
        env={**os.environ, **QUIET, **home, "PYTHONPATH": path},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result
