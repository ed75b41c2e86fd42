"""The processes of an instance: which there are, how they are started, and keeping them running."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from leads.files import private_folder
from leads.processes import Adopted, python
from leads.settings import Settings
from serving.instance.children import Child, Role
from serving.instance.folder import InstanceFolder

_API = Role("api", python("serving.instance.api"))
# The processes that answer requests come first.
_MONITOR_AFTER_S = "30"


def roles(settings: Settings, *, with_worker: bool) -> list[Role]:
    """The child processes of one host, other than API processes."""
    found = [Role("follower", python("serving.versions.follower"))]
    if settings.monitor != "off":
        found.append(Role("monitor", python("cli", "monitor", "watch", "--after", _MONITOR_AFTER_S)))
    if with_worker:
        # If another instance runs the worker, this one takes over once that one ends.
        command = python("cli", "worker", "--wait")
        if settings.partitions == 1:
            return [*found, Role("worker", command)]
        for i in range(settings.partitions):
            found.append(Role(f"worker-{i}", (*command, "--partition", str(i))))
    return found


def environment(settings: Settings) -> dict[str, str]:
    """Environment variables that give the children the same settings and keep BentoML's state in LEADS_HOME."""
    env = {
        "LEADS_HOME": str(settings.root),
        "LEADS_HOST": settings.host,
        "LEADS_PORT": str(settings.port),
        "LEADS_WORKERS": str(settings.workers),
        "LEADS_PARTITIONS": str(settings.partitions),
        "LEADS_MONITOR": settings.monitor,
        "LEADS_POLICIES": str(settings.policies.resolve()),
        "LEADS_LOG_FORMAT": settings.log_format,
        "BENTOML_HOME": str(settings.root / "bentoml"),
        "BENTOML_CONFIG_OPTIONS": _bentoml_options(settings.workers),
        # BentoML's start-up lines don't have the format of our log. It still logs errors.
        "BENTOML_QUIET": "true",
    }
    private_folder(settings.root / "bentoml")
    return env


def _bentoml_options(workers: int) -> str:
    """The options that are already set, plus the number of workers: `bentoml serve --api-workers` is ignored."""
    own = f"services.lead_serving.workers={workers}"
    return f"{os.environ.get('BENTOML_CONFIG_OPTIONS', '')} {own}".strip()


class Processes:
    """The child processes of an instance.

    Args:
        folder: the instance's own, which has the metrics of its API processes.
        listener: what the API processes accept connections on.
    """

    def __init__(
        self, settings: Settings, folder: InstanceFolder, listener: socket.socket, *, with_worker: bool
    ) -> None:
        self.settings, self.folder, self.listener = settings, folder, listener
        self.with_worker = with_worker
        self.apis: list[Child] = []
        self.background: list[Child] = []

    def start(self) -> None:
        """Start all of them."""
        self.apis = self.start_apis(self.settings)
        self.background = [self.start_background(role, self.settings) for role in self.roles(self.settings)]

    def adopt(self, apis: Sequence[int], background: Mapping[str, int]) -> None:
        """Continue with children that run already, and start those that don't.

        Args:
            apis: pids of API processes.
            background: pids of the others, by name.
        """
        missing = max(0, self.settings.workers - len(apis))
        self.apis = [self._api(self.settings, pid) for pid in (*apis, *[None] * missing)]
        self.background = [
            self.start_background(role, self.settings, background.get(role.name)) for role in self.roles(self.settings)
        ]

    def check(self) -> None:
        """Start those again that died."""
        for child in (*self.apis, *self.background):
            child.check()

    def stop(self, grace_s: float) -> None:
        """Ask all of them to end, wait, and kill what is left."""
        for child in (*self.apis, *self.background):
            child.terminate()
        for child in (*self.apis, *self.background):
            child.stop(grace_s)

    def roles(self, settings: Settings) -> list[Role]:
        """The children other than API processes."""
        return roles(settings, with_worker=self.with_worker)

    def start_apis(self, settings: Settings) -> list[Child]:
        """Start API processes. They accept connections once they are ready."""
        return [self._api(settings) for _ in range(settings.workers)]

    def _api(self, settings: Settings, pid: int | None = None) -> Child:
        log = log_of(settings, "api")
        return Child(
            _API,
            self._measured(settings),
            log,
            listener=self.listener.fileno(),
            process=None if pid is None else Adopted(pid),
        )

    def _measured(self, settings: Settings) -> dict[str, str]:
        """The environment of a child whose metrics the API processes add up."""
        return {**environment(settings), "PROMETHEUS_MULTIPROC_DIR": str(self.folder.metrics)}

    def start_background(self, role: Role, settings: Settings, pid: int | None = None) -> Child:
        """Start a child other than an API process, or continue with one that runs already."""
        log, env = log_of(settings, role.name), environment(settings)
        if role.name.startswith("worker"):
            env = self._measured(settings)
        return Child(role, env, log, process=None if pid is None else Adopted(pid))


def log_of(settings: Settings, name: str) -> Path | None:
    """The log file of a child; None if its log goes to stderr."""
    return None if settings.log_to == "stderr" else settings.root / "logs" / f"{name}.log"
