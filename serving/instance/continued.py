"""How the supervisor replaces itself by a new program, so that an upgrade reaches it too.

The process stays the same, with its children, its listening socket and the lock of its folder. The new program learns
of them through an environment variable.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from serving.instance.folder import InstanceFolder
from serving.instance.processes import Processes

_VARIABLE = "SUPERVISOR_STATE"
_HANDLED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_log = logging.getLogger(__name__)


class Kept(msgspec.Struct, frozen=True):
    """What the new program takes over.

    Args:
        listener, lock: descriptors of the listening socket, and of the lock on the instance's folder.
        folder: the instance's folder.
        apis: pids of the API processes.
        background: pids of the other children, by name.
        restart: the request that led to this.
    """

    listener: int
    lock: int
    folder: str
    apis: Sequence[int]
    background: Mapping[str, int]
    restart: str

    @property
    def instance(self) -> InstanceFolder:
        return InstanceFolder(Path(self.folder), self.lock)


def is_continued() -> bool:
    """Whether this program replaces another one, which has prepared everything."""
    return _VARIABLE in os.environ


def take_kept() -> Kept | None:
    """What the program left that this one replaces; None if there is none."""
    text = os.environ.pop(_VARIABLE, None)
    if text is None:
        return None
    kept = msgspec.json.decode(text, type=Kept)
    os.set_inheritable(kept.lock, False)
    return kept


def let_signals_through() -> None:
    """Deliver the signals that have come while this program was starting. Call it once they are handled."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)


def replace_program(processes: Processes, request: str) -> None:
    """Replace this program by the one that is installed now, started with the same arguments. Returns only if it fails.

    Args:
        request: the id of the request to restart.
    """
    lock = processes.folder.lock
    if lock is None:
        return
    listener = processes.listener.fileno()
    kept = Kept(
        listener,
        lock,
        str(processes.folder.path),
        [child.process.pid for child in processes.apis if not child.ended],
        {child.role.name: child.process.pid for child in processes.background if not child.ended},
        request,
    )
    for descriptor in (listener, lock):
        os.set_inheritable(descriptor, True)
    try:
        variables = {**os.environ, _VARIABLE: msgspec.json.encode(kept).decode()}
        # They wait until the new program handles them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], variables)
    except OSError as error:
        let_signals_through()
        _log.error("the supervisor itself couldn't be restarted: %s", error.strerror)
        for descriptor in (listener, lock):
            os.set_inheritable(descriptor, False)
