"""Training at growing sizes: `leads train --all` on simulated platforms, and the join of many labels' features."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.memory import MemoryWatch
from benchmarks.report import REPOSITORY, Measure, at_most, say
from leads.db import event_log
from leads.db.engine import open_engine, reading
from leads.settings import Settings, load_settings

# Accounts of each platform, and the most MB and seconds that training on it may take.
_PLATFORMS = ((2_000, 1_536.0, None), (20_000, 2_560.0, 300.0))
_LABELS, _FEWER = 1_000_000, 100_000
_MOST_BEYOND_MB = 2_048


class Ran(NamedTuple):
    """What a process said on standard output, how long it took, and its highest anonymous memory."""

    said: str
    seconds: float
    memory_mb: float


def on_platforms(quick: bool) -> list[Measure]:
    """Train on each platform; on the last, join the features of many labels too."""
    found: list[Measure] = []
    platforms = _PLATFORMS[:1] if quick else _PLATFORMS
    for accounts, most_mb, most_s in platforms:
        with tempfile.TemporaryDirectory() as folder:
            settings = load_settings(home=Path(folder))
            _simulate(settings, accounts)
            found += _train(settings, accounts, most_mb, most_s)
            if accounts == platforms[-1][0]:
                found += _join(settings, _FEWER if quick else _LABELS)
    return found


def _simulate(settings: Settings, accounts: int) -> None:
    """Append a platform's history of three weeks and the days after it to the log, and compute its features."""
    say(f"{accounts:,} accounts: simulating")
    _leads(settings, "simulate", "--preset", "demo", "--accounts", str(accounts))
    for file in sorted((settings.root / "simulation").glob("events-*.jsonl"), key=_first_event):
        say(f"{accounts:,} accounts: appending {file.name}")
        _leads(settings, "ingest", str(file))
    say(f"{accounts:,} accounts: computing features")
    _leads(settings, "worker", "--once")


def _first_event(file: Path) -> int:
    with file.open("rb") as lines:
        return int(json.loads(next(lines))["visible_at"])


def _train(settings: Settings, accounts: int, most_mb: float, most_s: float | None) -> list[Measure]:
    engine = open_engine(settings)
    with reading(engine) as connection:
        events = event_log.head(connection).offset
    engine.dispose()
    say(f"{accounts:,} accounts, {events:,} events: training")
    ran = _leads(settings, "train", "--all")
    name = f"leads train --all, {accounts:,} accounts"
    return [
        Measure(f"{name}: events", events, "events"),
        at_most(f"{name}: anonymous memory", ran.memory_mb, "MB", most_mb),
        Measure(name, ran.seconds, "s") if most_s is None else at_most(name, ran.seconds, "s", most_s),
    ]


def _join(settings: Settings, labels: int) -> list[Measure]:
    say(f"joining the features of {labels:,} labels")
    said = _run(settings, "-m", "benchmarks.scale.joining", str(labels)).said
    result: dict[str, float] = json.loads(said.splitlines()[-1])
    name = f"{labels:,} labels"
    return [
        Measure(f"{name}: features joined", labels / result["seconds"], "frames/s"),
        Measure(f"{name}: their matrix", result["matrix_mb"], "MB"),
        at_most(f"{name}: memory beyond the matrix", result["beyond_mb"], "MB", _MOST_BEYOND_MB),
    ]


def _leads(settings: Settings, *arguments: str) -> Ran:
    return _run(settings, "-P", "-m", "cli", *arguments, "--quiet")


def _run(settings: Settings, *arguments: str) -> Ran:
    """Run Python in a process of its own.

    Raises:
        CalledProcessError: it failed; what it said on standard error was shown as it came.
    """
    command, env = [sys.executable, *arguments], {**os.environ, "LEADS_HOME": str(settings.root)}
    began = time.perf_counter()
    with subprocess.Popen(command, env=env, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        watch = MemoryWatch(process.pid)
        said, _ = process.communicate()
    seconds, memory = time.perf_counter() - began, watch.stop()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, said)
    return Ran(said, seconds, memory)
