"""`leads serve`: runs the API, the follower and the workers as child processes and restarts those that die."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from features.feast.online_config import check_stores
from leads.errors import Unavailable
from leads.files import private_folder
from leads.processes import kill_group, python, start, stop
from leads.settings import PACKAGES, Settings

_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_HEALTHY_S = 60.0
# Time that requests in progress have to finish after the API receives SIGTERM.
_GRACE_S = 10.0
_log = logging.getLogger(__name__)


class Role(NamedTuple):
    """A child process to keep running."""

    name: str
    command: tuple[str, ...]


class Child:
    """A child process that is started again when it dies."""

    def __init__(self, role: Role, env: Mapping[str, str], log: Path) -> None:
        self.role, self._env, self._log = role, env, log
        self._failures = 0
        self._restart_at = 0.0
        self._spawn()

    def _spawn(self) -> None:
        self.process: subprocess.Popen[bytes] = start(self.role.command, env=self._env, log=self._log)
        self._since = time.monotonic()

    def check(self) -> None:
        """Restart the child if it died, after a delay that grows with each failure."""
        code = self.process.poll()
        if code is None:
            return
        now = time.monotonic()
        if not self._restart_at:
            # What the child has started, such as BentoML's API processes, must not go on without it and keep the port.
            kill_group(self.process)
            if now - self._since > _HEALTHY_S:
                self._failures = 0
            wait = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
            self._failures += 1
            self._restart_at = now + wait
            _log.warning(
                "%s exited with code %s; restarting in %.1f s (log: %s)", self.role.name, code, wait, self._log
            )
        elif now >= self._restart_at:
            self._restart_at = 0.0
            self._spawn()


def roles(settings: Settings, *, with_worker: bool) -> list[Role]:
    """The child processes of one host."""
    # Quiet: BentoML's start-up lines don't have the format of our log. It still logs errors.
    api = (
        "bentoml", "serve", "serving.service:LeadServing", "--working-dir", str(PACKAGES),
        "--host", settings.host, "--port", str(settings.port),
        "--timeout-graceful-shutdown", f"{_GRACE_S:.0f}", "--quiet",
    )  # fmt: skip
    found = [
        Role("api", python(*api)),
        Role("follower", python("serving.versions.follower")),
    ]
    if with_worker:
        command = python("cli", "worker")
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
        "LEADS_POLICIES": str(settings.policies.resolve()),
        "LEADS_LOG_FORMAT": settings.log_format,
        "BENTOML_HOME": str(settings.root / "bentoml"),
        "BENTOML_CONFIG_OPTIONS": _bentoml_options(settings.workers),
    }
    private_folder(settings.root / "bentoml")
    return env


def _bentoml_options(workers: int) -> str:
    """The options that are already set, plus the number of workers: `bentoml serve --api-workers` is ignored."""
    own = f"services.lead_serving.workers={workers}"
    return f"{os.environ.get('BENTOML_CONFIG_OPTIONS', '')} {own}".strip()


def serve(settings: Settings, *, with_worker: bool = True) -> None:
    """Run until SIGINT or SIGTERM, then stop every child.

    Raises:
        ConfigurationError: the address or the options of a store are invalid.
        Unavailable: the address can't be used, for example because the port is taken.
    """
    # The children would only fail again and again.
    check_stores(settings, with_state=with_worker)
    _check_port(settings)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    logs = settings.root / "logs"
    env = environment(settings)
    running = [Child(role, env, logs / f"{role.name}.log") for role in roles(settings, with_worker=with_worker)]
    try:
        while not stopped.wait(0.2):
            for child in running:
                child.check()
    finally:
        for child in running:
            stop(child.process, grace_s=settings.drain_s + _GRACE_S + 5.0)


def _check_port(settings: Settings) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Unavailable(
                f"Can't listen on {settings.host}:{settings.port}: {error.strerror}.",
                field="LEADS_PORT",
                remedy="Stop the process that uses it, or choose another port: leads serve --port 3001",
            ) from error
