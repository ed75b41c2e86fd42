"""`leads monitor watch`: runs the jobs again and again, and survives whatever fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from leads import clock
from leads.alerting.policy import MonitoringPolicy
from leads.clock import Clock
from leads.errors import Conflict, LeadsError
from leads.files import only_one
from leads.policies import Policies, load_policies
from leads.settings import Settings
from monitoring.running.all_jobs import describe
from monitoring.running.between import Between
from monitoring.running.opened import opened_world
from monitoring.running.run import Outcome, Stopped, run

_log = logging.getLogger(__name__)
# After a failure, the next run comes this much later, and later each time, but never later than usual.
_RETRY_S = 15.0
# A process that watches a home holds this lock.
WATCH_LOCK = "locks/monitor-watch.lock"
# How often one that waits for another to end asks, in seconds.
_ASK_S = 5.0
# Between two runs, however fast LEADS_CLOCK lets the clock run.
_LEAST_S = 1.0

Once = Callable[[Settings, Policies], Outcome]


class Watch:
    """Runs that are due again and again. Not thread-safe.

    Args:
        stopped: set once the process has to end; a run that is going on ends after its current job.
        once: does one run; by default `monitoring.running.run.run` on everything.
    """

    def __init__(
        self, settings: Settings, stopped: threading.Event, *, once: Once | None = None, now: Clock = clock.now
    ) -> None:
        self._settings, self._stopped, self._now = settings, stopped, now
        self._once = once or self._run
        self._policies: Policies | None = None
        self._failures = 0
        # What was logged the last time about what: a line that is still true isn't repeated.
        self._said: dict[str, frozenset[str]] = {}

    def watch(self) -> None:
        """Run until `stopped` is set. Of several processes of a home, one runs; another takes over once it ends."""
        while not self._stopped.is_set():
            try:
                with only_one(self._settings.root / WATCH_LOCK, what="watching this home"):
                    self._watch()
            except Conflict:
                self._say(
                    "home", ["Another process is watching this home. This one takes over once it ends."], logging.INFO
                )
                self._stopped.wait(_ASK_S)

    def _watch(self) -> None:
        between = Between(self._settings, self._stopped)
        try:
            while not self._stopped.is_set():
                wait_s = self.step()
                between.wait(wait_s, self._alerting())
        finally:
            between.close()

    def step(self) -> float:
        """Do one run; returns the seconds until the next one. What fails is logged, and tried again."""
        policies = self._read_policies()
        if policies is None:
            return self._again()
        every_s = max(clock.wait_s(policies.monitoring.every_minutes * 60), _LEAST_S)
        try:
            outcome = self._once(self._settings, policies)
        except Stopped:
            return 0.0
        except Conflict as error:
            # A run by hand, which does what is due.
            self._say("run", [str(error)], logging.INFO)
            return every_s
        except LeadsError as error:
            return min(self._again(str(error)), every_s)
        # Nothing may end monitoring: that nothing is measured would show only where somebody looks.
        except Exception as error:
            _log.exception("monitoring failed")
            return min(self._again(f"unexpected {type(error).__name__}"), every_s)
        self._failures = 0
        if outcome.windows:
            _log.info("measured %d windows, summarised %d hours", outcome.windows, outcome.hours)
        self._say("run", outcome.notes, logging.WARNING if outcome.failed else logging.INFO)
        return every_s

    def _run(self, settings: Settings, policies: Policies) -> Outcome:
        with opened_world(settings, policies, now=self._now()) as world:
            return run(world, describe=describe(world), measuring=settings.monitor != "summaries", on_step=self._go_on)

    def _alerting(self) -> MonitoringPolicy | None:
        """The policy by which this host sends alerts; None if it only summarises its predictions."""
        if self._policies is None or self._settings.monitor == "summaries":
            return None
        return self._policies.monitoring

    def _go_on(self, _step: str) -> None:
        if self._stopped.is_set():
            raise Stopped

    def _read_policies(self) -> Policies | None:
        """The policies as they are now; the last valid ones while the file is invalid."""
        try:
            self._policies = load_policies(self._settings.policies)
        except LeadsError as error:
            goes_on = (
                "goes on with the policies that were read before" if self._policies else "waits for valid policies"
            )
            text = f"{error} Monitoring {goes_on}."
            self._say("policies", [text], logging.WARNING)
        else:
            self._say("policies", [])
        return self._policies

    def _again(self, why: str | None = None) -> float:
        """Seconds until the next attempt, more after each failure."""
        wait_s: float = _RETRY_S * 2.0 ** min(self._failures, 6)
        self._failures += 1
        if why is not None:
            self._say("run", [f"Monitoring failed and will be tried again: {why}"], logging.WARNING)
        return wait_s

    def _say(self, about: str, lines: Sequence[str], level: int = logging.INFO) -> None:
        before = self._said.get(about, frozenset())
        for line in lines:
            if line not in before:
                _log.log(level, "%s", line)
        self._said[about] = frozenset(lines)
