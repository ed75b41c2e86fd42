"""Clients that generators make from the API's OpenAPI document, by the commands in docs/generated-clients.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.paths import REPOSITORY

PAGE = (REPOSITORY / "docs" / "generated-clients.md").read_text(encoding="utf-8")
# Programs of the environment that runs the tests come first.
_PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


def blocks(kind: str) -> list[str]:
    """The page's blocks of a language."""
    return re.findall(rf"^```{kind}\n(.*?)^```\n", PAGE, re.MULTILINE | re.DOTALL)


def command(program: str) -> str:
    """The page's command that runs a program."""
    (found,) = [block for block in blocks("console") if block.split()[0] == program]
    return found


def run(shell: str, folder: Path) -> str:
    """Run a command of the page in a folder. Returns what it printed."""
    done = subprocess.run(
        ["bash", "-euc", shell], cwd=folder, env={**os.environ, "PATH": _PATH},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{shell}\n{done.stdout[-6_000:]}\n{done.stderr[-6_000:]}"
    return done.stdout + done.stderr


def installed(*programs: str) -> bool:
    """Whether all of these programs can be started."""
    return all(shutil.which(program, path=_PATH) for program in programs)


def missing(programs: Sequence[str]) -> str:
    """Why a test is skipped."""
    return f"{' or '.join(programs)} is not installed. To run this test: npm install --global {' '.join(programs)}"
