"""Child processes that never outlive their parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1

# Nothing that this project starts reports home.
QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "FEAST_USAGE": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


# Each thread would have a heap of its own otherwise, and keep what it once needed for a large request.
_LEAN = {"MALLOC_ARENA_MAX": "2"}


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module; a package of the same name in the working directory is ignored."""
    return (sys.executable, "-P", "-m", module, *arguments)


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies, however it dies. Only Linux can; elsewhere nothing happens.

    The parent may be gone already when this runs; then the process ends here.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def start(command: Sequence[str], *, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a child in its own process group, its output appended to `log`; it ends when this process does."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**_LEAN, **os.environ, **QUIET, **env},
            preexec_fn=die_with_parent,
            process_group=0,
        )


def stop(child: subprocess.Popen[bytes], *, grace_s: float = 10.0) -> None:
    """SIGTERM, and SIGKILL to the whole group when that isn't enough."""
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
