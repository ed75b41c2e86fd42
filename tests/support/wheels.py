"""The project as users install it: built wheels in an environment of their own, used from an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Collection
from importlib.metadata import distribution
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
    return _build([sources / "clients" / "python", sources], wheels)


def build_client_wheel(folder: Path) -> Path:
    """Build the client's wheel alone."""
    sources = folder / "sources"
    shutil.copytree(REPOSITORY / "clients" / "python", sources, ignore=_LEFT_OUT)
    (wheel,) = _build([sources], folder / "wheels")
    return wheel


def _build(sources: list[Path], wheels: Path) -> list[Path]:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--no-build-isolation", "-w", str(wheels), *map(str, sources)]
    subprocess.run(command, check=True, timeout=800)
    return sorted(wheels.glob("*.whl"))


def install(wheels: list[Path], folder: Path) -> Path:
    """Install the wheels into a new virtual environment; returns its `bin` folder.

    Their dependencies are taken from the environment of the tests: installing those again would take minutes.
    """
    packages = _install(wheels, folder)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


def install_alone(wheel: Path, folder: Path, dependencies: Collection[str]) -> Path:
    """Install the wheel and copies of these distributions into a new virtual environment; returns its interpreter."""
    packages = _install([wheel], folder)
    for name in dependencies:
        source = distribution(name)
        for file in source.files or ():
            # Scripts lie outside.
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(source.locate_file(file)), target)
    return folder / "bin" / "python"


def _install(wheels: list[Path], folder: Path) -> Path:
    """Install the wheels without their dependencies; returns the folder of packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    command = [*pip, "--disable-pip-version-check", "--no-deps", "--no-index", *map(str, wheels)]
    # Else pip may find the client in the sources, and takes it to be installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, timeout=120, env=environment)
    (packages,) = folder.glob("lib/python*/site-packages")
    return packages
