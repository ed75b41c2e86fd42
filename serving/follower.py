"""The follower: one process per host that turns MLflow's aliases into proven version folders for the workers.

    python -m serving.follower

It polls the `champion` aliases, fetches a new version, loads it, checks that this code can satisfy its contract and
that its golden rows reproduce, and only then publishes it. A version that fails is refused with the reason; the one
before stays. While the registry doesn't answer, everything published stays.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from features.columns import unsatisfied
from leads import clock
from leads.clock import Clock
from leads.errors import Conflict, LeadsError, ModelRefused, Unavailable
from leads.files import only_one
from leads.policies import Policies, load_policies
from leads.processes import die_with_parent
from leads.settings import Settings, load_settings
from models.sentence import place_of
from models.version import ModelVersion, load
from serving import logs
from serving.published import HarmState, State, read_state, write_state

# A refused version may have been fetched while a disk or network failed: it gets another chance after so long.
RETRY_REFUSED_S = 60.0
_MAX_BACKOFF_S = 60.0
_KEPT_VERSIONS = 3
_log = logging.getLogger(__name__)


class Registry(Protocol):
    """`models.registry.Registry`, as far as the follower uses it."""

    def aliases(self, harm: str) -> dict[str, str]: ...

    def fetch(self, harm: str, version: str, into: Path) -> Path: ...


class Follower:
    """Keeps `published/` in step with the registry. One thread, one process."""

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        registry: Registry,
        *,
        clock_: Clock = clock.now,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = settings.published_dir
        self._place = place_of(settings)
        self._policies = policies
        self._registry = registry
        self._clock = clock_
        self._timer = timer
        self._refused_at: dict[tuple[str, str], float] = {}
        self._state = self._load_state()

    def step(self) -> State:
        """Look at every harm's aliases once, publish what changed.

        Raises:
            Unavailable: the registry doesn't answer; everything published stays.
        """
        harms = {harm: self._follow(harm, self._state.harms.get(harm, HarmState())) for harm in self._policies.harms}
        state = State(self._clock(), harms)
        write_state(self._folder, state)
        for harm, after in harms.items():
            if after.champion != self._state.harms.get(harm, HarmState()).champion:
                _log.info("published %s version %s", harm, after.champion)
                self._tidy(harm, after.champion)
        self._state = state
        return state

    def _load_state(self) -> State:
        try:
            return read_state(self._folder)
        except ModelRefused as error:
            _log.warning("starting anew: %s", error)
            return State()

    def _follow(self, harm: str, before: HarmState) -> HarmState:
        aliases = self._registry.aliases(harm)
        wanted = aliases.get("champion")
        refused = {version: why for version, why in before.refused.items() if version == wanted}
        if wanted is None or (wanted == before.champion and (self._folder / harm / wanted).is_dir()):
            return HarmState(wanted, refused, aliases)
        tried = self._refused_at.get((harm, wanted))
        if tried is not None and self._timer() - tried < RETRY_REFUSED_S:
            return HarmState(before.champion, refused, aliases)
        try:
            self._prove(harm, wanted)
        except (ModelRefused, Unavailable) as error:
            if before.refused.get(wanted) != str(error):
                _log.warning("refused %s version %s, %s stays: %s", harm, wanted, before.champion, error)
            self._refused_at[harm, wanted] = self._timer()
            shutil.rmtree(self._folder / harm / wanted, ignore_errors=True)
            return HarmState(before.champion, {wanted: str(error)}, aliases)
        self._refused_at.pop((harm, wanted), None)
        return HarmState(wanted, {}, aliases)

    def _prove(self, harm: str, wanted: str) -> None:
        into = self._folder / harm
        folder = self._registry.fetch(harm, wanted, into)
        version = load(folder, self._place)
        if folder != into / wanted or (version.harm, version.version) != (harm, wanted):
            raise ModelRefused(f"Fetched {version.name} version {version.version} instead.")
        check_contract(version)
        version.verify()

    def _tidy(self, harm: str, champion: str | None) -> None:
        """Drop old versions; the newest few stay for workers that are still loading and for looking back."""
        folders = [x for x in (self._folder / harm).glob("*") if x.is_dir() and x.name.isdecimal()]
        for folder in sorted(folders, key=lambda x: int(x.name), reverse=True)[_KEPT_VERSIONS:]:
            if folder.name != champion:
                shutil.rmtree(folder, ignore_errors=True)


def check_contract(version: ModelVersion) -> None:
    """Raises ModelRefused when this code can't give the version the features it was trained with."""
    why = unsatisfied(version.contract)
    if why:
        raise ModelRefused(why, field="contract.json")


def run(follower: Follower, *, every_s: float, stopped: threading.Event) -> None:
    """Step until `stopped`; ever more slowly while the registry doesn't answer."""
    failures = 0
    while not stopped.is_set():
        try:
            follower.step()
            failures = 0
        except (LeadsError, OSError) as error:
            failures += 1
            if failures in (1, 10) or failures % 100 == 0:
                _log.warning("keeping what is published (%d tries): %s", failures, error)
        stopped.wait(min(every_s * 2 ** min(failures, 10), _MAX_BACKOFF_S) if failures else every_s)


def main() -> None:
    """Follow until SIGTERM, SIGINT or the parent's death."""
    die_with_parent()
    settings = load_settings()
    logs.set_up(settings)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.is_set():
        try:
            with only_one(settings.published_dir / ".follower.lock", what="following the registry"):
                _follow(settings, stopped)
        except Conflict:
            # Another one does it; should it die, this one takes over.
            stopped.wait(settings.alias_poll_s)


def _follow(settings: Settings, stopped: threading.Event) -> None:
    from models.registry import Registry

    follower = Follower(settings, load_policies(settings.policies), Registry(settings))
    run(follower, every_s=settings.alias_poll_s, stopped=stopped)


if __name__ == "__main__":
    main()
