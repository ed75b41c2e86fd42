"""`leads train --all` as users run it, twice from nothing: how long it takes, and whether both runs agree."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from benchmarks.report import Measure, at_least, at_most, say
from benchmarks.timing import timed
from leads.policies import load_policies
from leads.settings import load_settings
from models import manifest
from models.registry.mlflow_registry import MlflowRegistry


def trained_twice() -> list[Measure]:
    """Features, fits, measurements, plots and registration, all of it."""
    say("leads train --all, twice")
    seconds, hashes = [], []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as home:
            command = ["-P", "-m", "cli", "train", "--all", "--quiet"]
            seconds.append(timed(lambda home=home, command=command: python(command, {"LEADS_HOME": home})))  # type: ignore[misc]
            hashes.append(_registered(home))
    same = float(bool(hashes[0]) and hashes[0] == hashes[1])
    return [
        at_most("leads train --all on the corpora", min(seconds), "s", 180),
        Measure("leads train --all: files of the versions", len(hashes[0]), "files"),
        at_least("leads train --all, twice: files are the same, bit for bit", same, "", 1),
    ]


def python(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a Python process with these arguments; returns what it prints.

    Raises:
        CalledProcessError: it failed; what it said on standard error was shown as it came.
    """
    ran = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **(environment or {})},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return ran.stdout


def _registered(home: str) -> dict[str, str]:
    """The hash of each file of each version in a home, by harm and file name; files that hold a time have no hash."""
    settings = load_settings(home=home)
    registry = MlflowRegistry(settings)
    found: dict[str, str] = {}
    for harm in load_policies(settings.policies).harms:
        for version in registry.versions(harm):
            about = manifest.read_manifest(registry.fetch(harm, version.version, settings.root / "again" / harm))
            found |= {f"{harm}/{name}": digest for name, digest in about.files.items()}
    return found
