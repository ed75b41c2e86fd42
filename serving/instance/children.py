"""The child processes of `leads serve`, which are started again when they die."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from leads.processes import ChildProcess, kill_group, start, stop

_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_HEALTHY_S = 60.0
_log = logging.getLogger(__name__)


class Role(NamedTuple):
    """A child process to keep running."""

    name: str
    command: tuple[str, ...]


class Child:
    """A child process that is started again when it dies.

    Args:
        listener: descriptor of the socket that the child accepts connections on. Such a child tells when it is ready.
        process: the process, if it runs already.
        once: more environment variables, which a process that replaces the first one doesn't get.
    """

    def __init__(
        self,
        role: Role,
        env: Mapping[str, str],
        log: Path | None,
        *,
        listener: int | None = None,
        process: ChildProcess | None = None,
        once: Mapping[str, str] | None = None,
    ) -> None:
        self.role, self.log = role, log
        self._env = env
        self._once = once or {}
        self._listener = listener
        self._failures = 0
        self._restart_at = 0.0
        self._ready: int | None = None
        self._since = time.monotonic()
        self.process: ChildProcess = process or self._spawn()

    def check(self) -> None:
        """Restart the child if it died, after a delay that grows with each failure."""
        code = self.process.poll()
        if code is None:
            return
        now = time.monotonic()
        if not self._restart_at:
            # What the child has started must not go on without it.
            kill_group(self.process)
            if now - self._since > _HEALTHY_S:
                self._failures = 0
            wait = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
            self._failures += 1
            self._restart_at = now + wait
            _log.warning(
                "%s exited with code %s; restarting in %.1f s (log: %s)",
                self.role.name,
                code,
                wait,
                self.log or "stderr",
            )
        elif now >= self._restart_at:
            self._restart_at = 0.0
            self.process = self._spawn()

    @property
    def ended(self) -> bool:
        """Whether the process has ended, and `check` has not started another one."""
        return self.process.poll() is not None

    @property
    def ready(self) -> bool:
        """Whether the process accepts connections. Children without a listener, and adopted ones, count as ready."""
        if self._ready is None:
            return True
        if select.select([self._ready], [], [], 0)[0] and os.read(self._ready, 16):
            self._forget_ready()
        return self._ready is None

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.signal(signal.SIGTERM)

    def stop(self, grace_s: float) -> None:
        """Ask the process to end, wait, and kill what is left of it and of what it has started."""
        stop(self.process, grace_s=grace_s)
        self._forget_ready()

    def _spawn(self) -> ChildProcess:
        self._since = time.monotonic()
        env, self._once = {**self._env, **self._once}, {}
        if self._listener is None:
            return start(self.role.command, env=env, log=self.log)
        self._forget_ready()
        self._ready, tell = os.pipe()
        descriptors = (self._listener, tell)
        command = (*self.role.command, "--listener", str(self._listener), "--ready", str(tell))
        try:
            return start(command, env=env, log=self.log, descriptors=descriptors)
        finally:
            os.close(tell)

    def _forget_ready(self) -> None:
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None
