"""A child that dies is started again, and nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from leads.processes import Adopted, stop
from serving.instance import children
from serving.instance.children import Child, Role

# Starts a process of its own, and waits.
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
    monkeypatch.setattr(children, "_BACKOFF_S", (0.0,))
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


# Says that it is ready once a file exists.
_LISTENER = """
import argparse, os, pathlib, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("go", type=pathlib.Path)
parser.add_argument("--listener", type=int)
parser.add_argument("--ready", type=int)
given = parser.parse_args()
os.fstat(given.listener)
while not given.go.exists():
    time.sleep(0.01)
os.write(given.ready, b"ready")
time.sleep(600)
"""


def test_a_child_with_a_listener_says_when_it_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_BACKOFF_S", (0.0,))
    go = tmp_path / "go"
    role = Role("api", (sys.executable, "-c", _LISTENER, str(go)))
    with socket.socket() as listener:
        made = Child(role, {}, tmp_path / "logs" / "api.log", listener=listener.fileno())
        try:
            assert not made.ready
            go.touch()
            until(lambda: made.ready)
            go.unlink()
            os.kill(made.process.pid, signal.SIGKILL)
            until(lambda: made.ended)
            made.check()
            made.check()
            # It was started again, and isn't ready before it says so.
            assert not made.ready
            assert not made.ended
            go.touch()
            until(lambda: made.ready)
        finally:
            made.stop(grace_s=0)


# Writes a variable to a file.
_WRITER = """
import os, pathlib, sys, time
path = pathlib.Path(sys.argv[1])
path.with_suffix(".new").write_text(os.environ.get("ONLY_ONCE", "nothing"))
path.with_suffix(".new").replace(path)
time.sleep(600)
"""


def test_variables_for_the_first_process_do_not_reach_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_BACKOFF_S", (0.0,))
    written = tmp_path / "variable"
    role = Role("api", (sys.executable, "-c", _WRITER, str(written)))
    made = Child(role, {}, tmp_path / "logs" / "api.log", once={"ONLY_ONCE": "something"})
    try:
        until(written.exists)
        assert written.read_text() == "something"
        written.unlink()
        os.kill(made.process.pid, signal.SIGKILL)
        until(lambda: made.ended)
        made.check()
        made.check()
        until(written.exists)
        assert written.read_text() == "nothing"
    finally:
        stop(made.process, grace_s=0)


def test_a_child_that_ends_never_becomes_ready(tmp_path: Path) -> None:
    role = Role("api", (sys.executable, "-c", "raise SystemExit(3)"))
    with socket.socket() as listener:
        made = Child(role, {}, tmp_path / "logs" / "api.log", listener=listener.fileno())
        until(lambda: made.ended)
        assert not made.ready
        assert made.process.poll() == 3
        made.stop(grace_s=0)


def test_a_child_of_the_previous_program_is_kept_running(
    tmp_path: Path, pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_BACKOFF_S", (0.0,))
    role = Role("parent", (sys.executable, "-c", _PARENT, str(pid_file)))
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
    made = Child(role, {}, tmp_path / "logs" / "parent.log", process=Adopted(running.pid))
    try:
        assert made.ready
        assert not made.ended
        made.check()
        assert made.process.pid == running.pid
        os.kill(running.pid, signal.SIGKILL)
        until(lambda: made.ended)
        assert made.process.poll() == -signal.SIGKILL
        made.check()
        made.check()
        assert made.process.pid != running.pid
        until(pid_file.exists)
    finally:
        made.stop(grace_s=0)
        # Its exit code was taken by whoever adopted it.
        running.returncode = 0
