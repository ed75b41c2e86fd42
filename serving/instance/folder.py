"""An instance is a running `leads serve`. Several may share a home: each has a numbered folder, which it holds locked.

The folder has the metrics of the instance's API processes, and what `leads restart` and the instance tell each other.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from leads.files import in_turn, is_locked, private_folder, write_json

INSTANCES = "instances"
_LOCK, _ABOUT, _REQUEST, _PROGRESS, _METRICS = "lock", "instance.json", "restart.json", "progress.json", "metrics"
T = TypeVar("T")


class About(msgspec.Struct, frozen=True):
    """Which process the instance is, and where it listens."""

    pid: int
    url: str


class Request(msgspec.Struct, frozen=True):
    """A request to restart.

    Args:
        id: chosen by whoever asks.
        environment_of: a process whose environment variables apply from now on; None: those of the instance.
        force: hand over even if the new API processes can't load versions that the earlier ones have in memory.
    """

    id: str
    environment_of: int | None = None
    force: bool = False


class Progress(msgspec.Struct, frozen=True):
    """How far a restart is.

    Args:
        id: of the request.
        steps: what was begun, in order.
        error: why the restart was given up.
    """

    id: str
    steps: tuple[str, ...] = ()
    ended: bool = False
    error: str | None = None


class InstanceFolder:
    """An instance's folder.

    Args:
        lock: descriptor of the open lock file, if this process is the instance.
    """

    def __init__(self, path: Path, lock: int | None = None) -> None:
        self.path = path
        self.lock = lock

    @property
    def metrics(self) -> Path:
        """Where the API processes keep their metrics."""
        return self.path / _METRICS

    @property
    def runs(self) -> bool:
        """Whether the instance runs."""
        return is_locked(self.path / _LOCK)

    @property
    def about(self) -> About | None:
        """What the instance says about itself; None if it doesn't run or has just been started."""
        return _read(self.path / _ABOUT, About) if self.runs else None

    def describe(self, about: About) -> None:
        """Say about this instance which process it is."""
        write_json(self.path / _ABOUT, about)

    def ask(self, request: Request, pid: int) -> None:
        """Ask the instance to restart."""
        write_json(self.path / _REQUEST, request)
        os.kill(pid, signal.SIGHUP)

    def take_request(self) -> Request:
        """The request that came with the signal. Whoever only sends the signal makes none."""
        path = self.path / _REQUEST
        found = _read(path, Request) or Request("signal")
        path.unlink(missing_ok=True)
        return found

    def report(self, progress: Progress) -> None:
        """Say how far the restart is."""
        write_json(self.path / _PROGRESS, progress)

    def finish(self, request: str) -> None:
        """Say that a restart is done."""
        last = self.progress()
        self.report(Progress(request, last.steps if last else (), ended=True))

    def progress(self) -> Progress | None:
        """How far the last restart is."""
        return _read(self.path / _PROGRESS, Progress)

    @property
    def asking(self) -> Path:
        """The lock of whoever asks for a restart."""
        return self.path / "asking.lock"


@contextmanager
def instance_folder(root: Path, held: InstanceFolder | None = None) -> Iterator[InstanceFolder]:
    """A folder of this instance's own, emptied. Also deletes those of instances that no longer run.

    Args:
        root: the home.
        held: the folder, if this process has held it since before it replaced itself by a new program.
    """
    folder = held or _take(root)
    try:
        yield folder
    finally:
        with in_turn(root / INSTANCES / _LOCK):
            shutil.rmtree(folder.path, ignore_errors=True)
            if folder.lock is not None:
                os.close(folder.lock)


def instances(root: Path) -> list[InstanceFolder]:
    """The folders of a home's instances that run."""
    return [one for one in _folders(root) if one.runs]


def _folders(root: Path) -> list[InstanceFolder]:
    return [InstanceFolder(path) for path in sorted((root / INSTANCES).glob("*")) if path.is_dir()]


def _take(root: Path) -> InstanceFolder:
    private_folder(root / INSTANCES)
    with in_turn(root / INSTANCES / _LOCK):
        for old in _folders(root):
            if not old.runs:
                shutil.rmtree(old.path, ignore_errors=True)
        # Homes on a network file system may be seen by several hosts.
        host, number = socket.gethostname(), 1
        while (path := root / INSTANCES / f"{host}-{number}").exists():
            number += 1
        private_folder(path / _METRICS)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return InstanceFolder(path, lock)


def _read(path: Path, type_: type[T]) -> T | None:
    """The value in a JSON file; None if there is none, because the instance has just started or ended."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except FileNotFoundError:
        return None
