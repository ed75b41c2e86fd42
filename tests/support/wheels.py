"""The project as users install it: built wheels in an environment of their own, used from an empty folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.paths import REPOSITORY

# What the builds don't need, and what earlier builds may have left.
_LEFT_OUT = shutil.ignore_patterns(
    ".*", "var", "build", "dist", "*.egg-info", "__pycache__", "tests", "docs", "notebooks"
)


def build_wheels(folder: Path) -> list[Path]:
    """Build the wheels of the platform and its client in `folder`, from a copy of the sources."""
    sources, wheels = folder / "sources", folder / "wheels"
    shutil.copytree(REPOSITORY, sources, ignore=_LEFT_OUT)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command = [
        *pip,
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(wheels),
        str(sources / "clients" / "python"),
        str(sources),
    ]
    subprocess.run(command, check=True, timeout=800)
    return sorted(wheels.glob("*.whl"))


def install(wheels: list[Path], folder: Path) -> Path:
    """Install the wheels into a new virtual environment; returns its `bin` folder.

    Their dependencies are taken from the environment of the tests: installing those again would take minutes.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    command = [*pip, "--disable-pip-version-check", "--no-deps", "--no-index", *map(str, wheels)]
    subprocess.run(command, check=True, timeout=120)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"
