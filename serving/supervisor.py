"""`leads serve`: the API with its follower and worker, as child processes that are restarted when they die."""

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

from leads.errors import Unavailable
from leads.processes import python, start, stop
from leads.settings import PACKAGES, Settings

_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_HEALTHY_S = 60.0
# How long requests that are being answered may take once the API is told to end.
_GRACE_S = 10.0
_log = logging.getLogger(__name__)


class Role(NamedTuple):
    """A child to keep running."""

    name: str
    command: tuple[str, ...]


class _Running:
    def __init__(self, role: Role, env: Mapping[str, str], log: Path) -> None:
        self.role, self._env, self._log = role, env, log
        self._failures = 0
        self._restart_at = 0.0
        self._spawn()

    def _spawn(self) -> None:
        self.child: subprocess.Popen[bytes] = start(self.role.command, env=self._env, log=self._log)
        self._since = time.monotonic()

    def check(self) -> None:
        """Start the child again when it died, ever later the oftener that happens."""
        code = self.child.poll()
        if code is None:
            return
        now = time.monotonic()
        if not self._restart_at:
            if now - self._since > _HEALTHY_S:
                self._failures = 0
            wait = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
            self._failures += 1
            self._restart_at = now + wait
            _log.warning(
                "%s ended with %s; starting it again in %.1f s (see %s)", self.role.name, code, wait, self._log
            )
        elif now >= self._restart_at:
            self._restart_at = 0.0
            self._spawn()


def roles(settings: Settings, *, with_worker: bool) -> list[Role]:
    """What runs on one host."""
    # Quiet: what BentoML says of its own start is no line of ours; errors it still tells.
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
    """What the children need to come to the same settings, and to keep their state below home."""
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
    (settings.root / "bentoml").mkdir(parents=True, exist_ok=True)
    return env


def _bentoml_options(workers: int) -> str:
    """What is set already, and the number of workers: `bentoml serve --api-workers` takes one and ignores it."""
    own = f"services.lead_serving.workers={workers}"
    return f"{os.environ.get('BENTOML_CONFIG_OPTIONS', '')} {own}".strip()


def serve(settings: Settings, *, with_worker: bool = True) -> None:
    """Run until SIGINT or SIGTERM; then end every child.

    Raises:
        Unavailable: the port is taken.
    """
    _check_port(settings)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    logs = settings.root / "logs"
    env = environment(settings)
    running = [_Running(role, env, logs / f"{role.name}.log") for role in roles(settings, with_worker=with_worker)]
    try:
        while not ended.wait(0.2):
            for child in running:
                child.check()
    finally:
        for child in running:
            stop(child.child, grace_s=settings.drain_s + _GRACE_S + 5.0)


def _check_port(settings: Settings) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Unavailable(
                f"{settings.host}:{settings.port} can't be listened on: {error.strerror}.",
                field="LEADS_PORT",
                remedy="Stop what uses it, or choose another: leads serve --port 3001",
            ) from error
