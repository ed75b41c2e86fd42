"""The supervisor restarts a child that dies, and leaves nothing of it behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from leads.processes import stop
from serving import supervisor
from serving.supervisor import Child, Role

# Starts a process of its own, as BentoML starts its API processes, and waits.
_PARENT = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
path = pathlib.Path(sys.argv[1])
path.with_suffix(".new").write_text(str(child.pid))
path.with_suffix(".new").replace(path)
time.sleep(600)
"""


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def child(tmp_path: Path, pid_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    monkeypatch.setattr(supervisor, "_BACKOFF_S", (0.0,))
    role = Role("parent", (sys.executable, "-c", _PARENT, str(pid_file)))
    made = Child(role, {}, tmp_path / "logs" / "parent.log")
    yield made
    stop(made.process, grace_s=0)


def test_what_a_dead_child_has_started_is_killed_before_the_restart(child: Child, pid_file: Path) -> None:
    until(pid_file.exists)
    orphan = int(pid_file.read_text())
    first = child.process.pid
    pid_file.unlink()
    os.kill(first, signal.SIGKILL)
    until(lambda: child.process.poll() is not None)
    assert not gone(orphan)
    child.check()
    until(lambda: gone(orphan))
    assert child.process.pid == first
    child.check()
    assert child.process.pid != first
    until(pid_file.exists)
    assert child.process.poll() is None


def test_what_a_child_has_started_is_stopped_with_it(child: Child, pid_file: Path) -> None:
    until(pid_file.exists)
    started = int(pid_file.read_text())
    stop(child.process, grace_s=5)
    until(lambda: gone(started))
