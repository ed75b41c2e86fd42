"""A rolling restart: new processes take over from old ones, with the code and the settings as they are now.

New API processes listen on the same socket as the old ones. Once they have loaded the published versions and accept
connections, the old ones stop accepting, answer what is in progress and end. Then the follower and the workers are
restarted one by one. In the end, the supervisor replaces itself by the new program and adopts the new processes. If
anything fails before the new API processes are ready, the old ones stay.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from features.feast.online_config import check_stores
from leads.errors import LeadsError, Unavailable
from leads.processes import python, start
from leads.settings import Settings
from serving.instance.api import GRACE_S, HAND_OVER, HAND_OVER_GRACE_S, LAST_REQUEST_S
from serving.instance.children import Child
from serving.instance.folder import Progress, Request
from serving.instance.held import Held, forget_others, held_by, read_held
from serving.instance.processes import Processes, environment, log_of
from serving.instance.reasons import reason_in

# Time in which new API processes must become ready. They give up sooner on versions that can't be loaded.
_READY_S = 300.0
# A worker that is asked to end finishes its batch of events and writes what it holds.
_BACKGROUND_S = 60.0
_POLL_S = 0.1
# Run by the code that is installed now, which may be another release's. The second also reads both files.
_LOAD_CODE = "import serving.supervisor"
_LOAD_CONFIGURATION = "from leads.policies import configured; configured()"
_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The instance was asked to stop."""


class RollingRestart:
    """One restart of an instance.

    Args:
        reread: reads the settings again.
        stopped: set once the instance has to stop.
    """

    def __init__(
        self, processes: Processes, request: Request, reread: Callable[[], Settings], stopped: threading.Event
    ) -> None:
        self._processes = processes
        self._request = request
        self._reread = reread
        self._stopped = stopped
        self._progress = Progress(request.id)

    def run(self) -> bool:
        """Restart everything but the supervisor itself; returns whether it worked. What went wrong is reported.

        Raises:
            Stopped: the instance was asked to stop meanwhile.
        """
        before = dict(os.environ)
        self._step("checking the settings and the new code")
        try:
            if self._request.environment_of is not None:
                # The home is the same: it is where the request was found.
                home = {"LEADS_HOME": str(self._processes.settings.root)}
                _replace_environment(_environment_of(self._request.environment_of) | home)
            settings = self._settings()
            self._check_code(settings)
            fresh = self._start_apis(settings)
        except (LeadsError, OSError) as error:
            _replace_environment(before)
            _log.error("the restart was given up, and the earlier processes stay: %s", error)
            self._give_up(str(error))
            return False
        self._hand_over(fresh)
        self._processes.settings = settings
        self._restart_background(settings)
        return True

    def _settings(self) -> Settings:
        settings, now = self._reread(), self._processes.settings
        if (settings.host, settings.port) != (now.host, now.port):
            # Instances of one home are restarted with one environment, and each has its own address.
            _log.warning("a restart can't change the address: it stays %s port %d", now.host, now.port)
            settings = settings.model_copy(update={"host": now.host, "port": now.port})
        check_stores(settings, with_state=self._processes.with_worker)
        return settings

    def _check_code(self, settings: Settings) -> None:
        """Load what will replace this program, read policies.yaml and platform.yaml, and migrate the database."""
        load = (sys.executable, "-P", "-c")
        self._run((*load, _LOAD_CODE), settings, "The code can't be loaded")
        self._run((*load, _LOAD_CONFIGURATION), settings, "The configuration is invalid")
        self._run(python("cli", "migrate", "--quiet"), settings, "The database can't be migrated")

    def _run(self, command: Sequence[str], settings: Settings, what: str) -> None:
        log = self._processes.folder.path / "check.log"
        log.unlink(missing_ok=True)
        running = start(command, env=environment(settings), log=log)
        try:
            self._wait(lambda: running.poll() is not None)
        finally:
            running.kill()
            running.wait()
        if running.returncode:
            raise Unavailable(f"{what}: {reason_in(log)}", remedy=f"The log is {log}.")

    def _start_apis(self, settings: Settings) -> list[Child]:
        """Start new API processes and wait until they are ready; if they don't become so, end them again."""
        many = "a new API process" if settings.workers == 1 else f"{settings.workers} new API processes"
        self._step(f"starting {many}")
        log = log_of(settings, "api")
        began = log.stat().st_size if log is not None and log.exists() else 0
        fresh = self._processes.start_apis(settings, self._needed())
        until = time.monotonic() + _READY_S
        try:
            while not all([child.ready for child in fresh]):
                for child in fresh:
                    if child.ended:
                        raise self._ended(child, log, began)
                if time.monotonic() >= until:
                    raise Unavailable(f"The new API processes were not ready after {_READY_S:.0f} seconds.")
                self._pause()
        except BaseException:
            for child in fresh:
                child.stop(grace_s=GRACE_S)
            raise
        return fresh

    def _needed(self) -> Held | None:
        """What the API processes that answer now have in memory; None if the new ones may do without."""
        if self._request.force:
            return None
        folder = self._processes.folder.path
        answering = [child.process.pid for child in self._processes.apis if child.ready and not child.ended]
        silent = [pid for pid in answering if read_held(folder, pid) is None]
        if silent:
            many = "the earlier API processes"
            if len(silent) < len(answering):
                many = f"{len(silent)} of {len(answering)} earlier API processes"
            self._step(f"not comparing versions with {many}, which don't say what they have (earlier releases don't)")
        return held_by(folder, answering)

    def _ended(self, child: Child, log: Path | None, began: int) -> Unavailable:
        """Why a new API process has ended.

        Args:
            log: where it wrote to, since the file's size was `began`; None: stderr.
        """
        said = read_held(self._processes.folder.path, child.process.pid)
        if said is not None and said.lacks:
            return Unavailable(
                f"The earlier API processes still have versions that a new one can't load. {' '.join(said.lacks)}",
                remedy="To find out more: leads status. To restart without these versions: leads restart --force.",
            )
        what = f"A new API process ended with code {child.process.poll()}"
        if log is None:
            return Unavailable(f"{what}.", remedy="The service's stderr says why.")
        return Unavailable(f"{what}: {reason_in(log, began)}", remedy=f"The log is {log}.")

    def _hand_over(self, fresh: Sequence[Child]) -> None:
        self._step("handing over to it" if len(fresh) == 1 else "handing over to them")
        old, self._processes.apis = self._processes.apis, list(fresh)
        for child in old:
            child.signal(HAND_OVER if child.ready else signal.SIGTERM)
        try:
            self._wait(lambda: all(child.ended for child in old), LAST_REQUEST_S + HAND_OVER_GRACE_S + 5.0)
        finally:
            for child in old:
                child.stop(grace_s=1.0)
        forget_others(self._processes.folder.path, [child.process.pid for child in fresh])

    def _restart_background(self, settings: Settings) -> None:
        """Restart the follower and the workers, one after the other."""
        processes = self._processes
        wanted = {role.name: role for role in processes.roles(settings)}
        running = {child.role.name: child for child in processes.background}
        for name in dict.fromkeys((*wanted, *running)):
            self._step(f"restarting {name}" if name in wanted else f"stopping {name}")
            if name in running:
                self._end_one(running[name])
            if name in wanted:
                processes.background.append(processes.start_background(wanted[name], settings))

    def _end_one(self, child: Child) -> None:
        self._processes.background.remove(child)
        child.terminate()
        try:
            self._wait(lambda: child.ended, _BACKGROUND_S)
        finally:
            child.stop(grace_s=0.0)

    def _wait(self, done: Callable[[], bool], at_most_s: float = float("inf")) -> None:
        until = time.monotonic() + at_most_s
        while not done() and time.monotonic() < until:
            self._pause()

    def _pause(self) -> None:
        """Wait a moment, and keep the other processes running meanwhile."""
        if self._stopped.wait(_POLL_S):
            self._give_up("The service was stopped.")
            raise Stopped
        self._processes.check()

    def _step(self, what: str) -> None:
        _log.info("restart: %s", what)
        self._progress = Progress(self._request.id, (*self._progress.steps, what))
        self._processes.folder.report(self._progress)

    def _give_up(self, error: str) -> None:
        self._progress = Progress(self._request.id, self._progress.steps, ended=True, error=error)
        self._processes.folder.report(self._progress)


def _environment_of(pid: int) -> dict[str, str]:
    """The environment variables that a process of this user was started with."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError as error:
        raise Unavailable(
            "The environment variables of the command can't be read.", remedy="Restart without --environment."
        ) from error
    pairs = (part.partition(b"=") for part in raw.split(b"\0") if b"=" in part)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def _replace_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
