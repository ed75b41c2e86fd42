"""Child processes that end with their parent, and how a process searches for objects that nothing uses any more."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from leads.files import PRIVATE_UMASK, private_folder

_PR_SET_PDEATHSIG = 1
_STDERR = 2
# Names a process's own log file for `leads.settings`.
LOG_FILE = "LEADS_LOG_FILE"

_POLL_S = 0.02

# No process of this project sends telemetry.
QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "FEAST_USAGE": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


# Limits glibc to two heaps; by default each thread gets one, which keeps the memory that a large request needed.
_FEW_HEAPS = {"MALLOC_ARENA_MAX": "2"}
# Python's default is 700. Scoring 100 subjects makes several thousand objects, nearly all of which end with the
# request and without a search.
_NEW_OBJECTS = 20_000
# About as many objects as a worker keeps in memory of 100 batches of events.
_MANY_OBJECTS = 1_000_000


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module, ignoring a package of the same name in the working directory."""
    return (sys.executable, "-P", "-m", module, *arguments)


def die_with_parent() -> None:
    """Ask the kernel to send SIGTERM to this process when its parent dies. Does nothing except on Linux.

    If the parent is dead already, this process ends at once.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


class ChildProcess(Protocol):
    """What `subprocess.Popen` and `Adopted` have in common."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


class Adopted:
    """A child that this process started before it replaced itself by a new program (`os.execve`)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the child runs."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._code = 0
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code.

        Raises:
            TimeoutExpired: the child still runs after `timeout` seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(_POLL_S)
        return code

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the child has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


def start(
    command: Sequence[str], *, env: Mapping[str, str], log: Path | None, descriptors: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a child in its own process group and append its output to `log`. It ends when this process does.

    Only its owner can read what it creates.

    Args:
        descriptors: files and sockets of this process that the child gets under the same numbers.
        log: the file, which the child may rotate; None: this process's stderr.
    """
    inherited = {name: value for name, value in os.environ.items() if name != LOG_FILE}
    if log is None:
        output: contextlib.AbstractContextManager[IO[bytes] | int] = contextlib.nullcontext(_STDERR)
    else:
        private_folder(log.parent)
        output, env = log.open("ab"), {**env, LOG_FILE: str(log)}
    with output as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**_FEW_HEAPS, **inherited, **QUIET, **env},
            preexec_fn=die_with_parent,
            process_group=0,
            umask=PRIVATE_UMASK,
            pass_fds=descriptors,
        )


def stop(child: ChildProcess, *, grace_s: float = 10.0) -> None:
    """Send SIGTERM, wait up to `grace_s`, then kill the child and every process that it has started."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    kill_group(child)
    child.wait()


def kill_group(child: ChildProcess) -> None:
    """Kill what is left of the process group of a child of `start`: itself, and the processes that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def search_rarely() -> None:
    """Search for unused cycles less often, and never among the objects that exist now.

    Otherwise, Python searches several times while it scores 100 subjects. Now and then it also searches through all
    modules, and every request that runs waits for that.
    """
    gc.collect()
    gc.freeze()
    _, middle, old = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, middle, old)


@contextlib.contextmanager
def search_paused() -> Iterator[None]:
    """Pause Python's search for unused cycles, in all threads.

    A worker makes many objects for a batch of events. Searching through all of them takes a third of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def search_seldom() -> Iterator[None]:
    """Search for unused cycles only once there are a million new objects, in all threads.

    A long replay makes hardly any cycles, and each search looks at everything that it keeps in memory.
    """
    before = gc.get_threshold()
    gc.set_threshold(_MANY_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
