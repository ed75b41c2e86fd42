"""Runs `leads retrain HARM` for alerts whose rule asks for it, and writes the result into the alert."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy.engine import Connection, Engine

from leads import clock
from leads.alerting.alert import Alert, Retraining, RetrainingState
from leads.alerting.policy import MonitoringPolicy
from leads.clock import Clock, Micros
from leads.db import model_changes
from leads.db.engine import reading
from leads.db.locks.named_lock import NamedLock
from leads.db.monitoring import alerts
from leads.db.outbox import messages
from leads.errors import Conflict
from leads.files import only_one
from leads.processes import ChildProcess, python, start, stop
from leads.settings import Settings
from monitoring.alerts.messages import TOPIC, message_about

_TAIL_BYTES = 4_000
# A line of the output that is quoted in the result.
_MAX_LINE = 300
_DONE: Mapping[model_changes.Action, str] = {
    "registered": "registered",
    "promoted": "promoted to champion",
    "challenging": "made challenger",
    "rolled_back": "made champion again",
    "retired": "retired",
    "canary": "made canary",
    "canary_stopped": "stopped as canary",
}
_INTERRUPTED = "It was interrupted, and isn't started again. Run: leads retrain {harm}"


class _Running(NamedTuple):
    alert: Alert
    child: ChildProcess
    log: Path
    offset: int
    began: Micros


Start = Callable[[Sequence[str], Mapping[str, str], Path], ChildProcess]


def _start(command: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    return start(command, env=env, log=log)


class Retrainings:
    """The retrainings of one process, one at a time. No alert starts one twice. Not thread-safe.

    Among all hosts, one process at a time runs them: the one that has the lock.

    Args:
        start: starts the child: command, environment, log.
    """

    def __init__(self, settings: Settings, *, start: Start = _start, clock_: Clock = clock.now) -> None:
        self._settings, self._start, self._clock = settings, start, clock_
        self._running: _Running | None = None
        self._locks = ExitStack()

    @property
    def running(self) -> bool:
        """Whether a retraining runs."""
        return self._running is not None

    def step(self, engine: Engine, policy: MonitoringPolicy) -> bool:
        """Record the result of a retraining that has ended, and start the next one; returns whether one runs now.

        Raises:
            Unavailable: the database doesn't respond.
        """
        if self._running is not None:
            if self._running.child.poll() is None:
                return True
            self._finish(engine, policy, self._running)
        elif not any(rule.retrain for rule in policy.rules.values()) or not _wanted(engine) or not self._lock():
            return False
        self._next(engine)
        if self._running is None:
            self._locks.close()
        return self.running

    def finish(self, engine: Engine, policy: MonitoringPolicy, *, every_s: float = 1.0) -> None:
        """Run everything that waits, and wait for it.

        Raises:
            Unavailable: the database doesn't respond.
        """
        try:
            while self.step(engine, policy):
                time.sleep(every_s)
        finally:
            self.close()

    def close(self) -> None:
        """Stop the retraining that runs. It counts as interrupted."""
        if self._running is not None:
            stop(self._running.child)
            self._running = None
        self._locks.close()

    def _lock(self) -> bool:
        """Whether this process may run retrainings now."""
        try:
            file = self._settings.root / "locks" / "retraining-for-alerts.lock"
            self._locks.enter_context(only_one(file, what="retraining for an alert"))
        except Conflict:
            return False
        lock = NamedLock(self._settings, "leads.retraining-for-alerts")
        self._locks.callback(lock.close)
        if lock.acquire():
            return True
        self._locks.close()
        return False

    def _next(self, engine: Engine) -> None:
        """Start the retraining that has waited longest."""
        self._running, now = None, self._clock()
        with engine.begin() as connection:
            alerts.lock(connection)
            found = alerts.retraining(connection)
            # Whoever ran these had the lock, and has died.
            for alert in found:
                if _state(alert) == "running":
                    _write(connection, alert, "failed", _INTERRUPTED.format(harm=alert.harm), now)
            waiting = next((alert for alert in found if _state(alert) == "waiting"), None)
            if waiting is None:
                return
            _write(connection, waiting, "running", "", now)
        log = self._settings.root / "logs" / f"retrain-{waiting.harm}.log"
        offset = log.stat().st_size if log.exists() else 0
        env = {"LEADS_HOME": str(self._settings.root), "LEADS_POLICIES": str(self._settings.policies.resolve())}
        command = python("cli", "retrain", waiting.harm, "--quiet", "--alert", str(waiting.seq))
        child = self._start(command, env, log)
        self._running = _Running(waiting, child, log, offset, now)

    def _finish(self, engine: Engine, policy: MonitoringPolicy, ended: _Running) -> None:
        code, now = ended.child.wait(), self._clock()
        with engine.begin() as connection:
            alerts.lock(connection)
            versions = _versions(connection, ended.alert.harm, ended.began)
            last = _last_line(ended.log, ended.offset)
            if code == 0:
                state: RetrainingState = "done"
                result = versions or f"There is no new version. {last}".rstrip()
            else:
                state = "failed"
                result = f"It failed with exit code {code}. {last}".rstrip()
            found = alerts.find(connection, ended.alert.seq)
            assert found is not None
            found = _write(connection, found, state, result, now)
            if policy.webhook is not None and found.severity in policy.webhook.severities and found.sent_at is not None:
                body = message_about("alert.retrained", [found], now)
                messages.put(connection, TOPIC, f"{found.rule}:{found.harm}", body, now)


def _wanted(engine: Engine) -> bool:
    with reading(engine) as connection:
        return bool(alerts.retraining(connection))


def _state(alert: Alert) -> RetrainingState | None:
    return None if alert.detail.retraining is None else alert.detail.retraining.state


def _write(connection: Connection, alert: Alert, state: RetrainingState, result: str, now: Micros) -> Alert:
    detail = msgspec.structs.replace(alert.detail, retraining=Retraining(state, now, result))
    alerts.change(connection, alert.seq, detail=detail)
    return alert._replace(detail=detail)


def _versions(connection: Connection, harm: str, since: Micros) -> str:
    """What became of the versions that were made since then, as sentences; empty if none was made."""
    made = [one for one in model_changes.history(connection, harm) if one.at >= since and one.state == "done"]
    return " ".join(f"Version {one.version} was {_DONE[one.action]}. {one.why}".rstrip() for one in made)


def _last_line(log: Path, offset: int) -> str:
    """The last line of a child's output."""
    try:
        with log.open("rb") as file:
            file.seek(max(offset, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:_MAX_LINE] for line in reversed(lines) if line.strip()), "")
