"""The follower: one process per host that turns MLflow's aliases into verified version folders for the workers.

    python -m serving.versions.follower

It polls the aliases `champion`, `canary` and `challenger`. It fetches a new version, loads it, checks that the live
features satisfy its contract and that its golden rows reproduce, and only then publishes it. A version that fails, or
that is retired although somebody set an alias to it by hand, is refused with the reason, and the previous champion
stays. While the registry is down, everything published stays.

It also looks after what it has published: a version whose files are damaged is fetched again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import msgspec

from features.declared.generations import live_features
from leads import clock
from leads.clock import Clock
from leads.environment.process import replace_missing
from leads.errors import Conflict, ModelRefused, NotFound
from leads.files import keep_private, only_one
from leads.platform.declaration import load_platform
from leads.policies import Policies, load_policies
from leads.processes import die_with_parent
from leads.settings import Settings, load_settings
from models.registry.versions import CANARY_SHARE, TagReader, why_retired
from models.text.sentence import place_of
from models.version import load
from serving.observe import logs
from serving.retention.daily import pruning_daily
from serving.versions.file_watch import FileWatch
from serving.versions.folders import RETRY_REFUSED_S, VersionFolders
from serving.versions.published_state import LOCK_FILE, STATE_FILE, HarmState, PublishedState, read_state, write_state
from serving.versions.verification import Load, reason_of

_MAX_BACKOFF_S = 60.0
# Failing harms after which a step gives up. One may have unreadable aliases; two suggest that the registry is down.
_GIVE_UP_AFTER = 2
# How often a follower that waits for another one to end asks, in seconds.
_ASK_S = 1.0
# Fetching and verifying a version must not take the processor from the processes that answer requests.
_NICENESS = 10
_log = logging.getLogger(__name__)


class Follower:
    """Keeps the published versions in step with the registry. Not thread-safe; one process per host.

    Args:
        timer: monotonic seconds.
        load_: makes a version from a folder; by default `models.version.load`.
    """

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        registry: TagReader,
        *,
        clock_: Clock = clock.now,
        timer: Callable[[], float] = time.monotonic,
        load_: Load | None = None,
    ) -> None:
        self._folder = settings.published_dir
        self._policies = policies
        platform = load_platform(settings.platform)
        self._watches = (
            FileWatch(settings.policies, load_policies, policies),
            FileWatch(settings.platform, load_platform, platform),
        )
        self._digests = policies.digest, platform.digest
        self._registry = registry
        self._clock = clock_
        self._timer = timer
        live, load_ = partial(live_features, settings), load_ or partial(load, place=place_of(settings))
        self._folders = VersionFolders(self._folder, registry, load_, live, timer)
        self._refused: dict[tuple[str, str], tuple[float, str]] = {}
        self._told_retired: set[tuple[str, str]] = set()
        self._failed: set[str] = set()
        self._state = self._load_state()
        self._damaged: dict[tuple[str, str], str] = {}
        # So that the other harms get their turn.
        crashed = self._folders.crashed()
        if crashed is not None:
            self._refused[crashed] = (self._timer(), "The follower crashed while it verified this version.")

    def step(self) -> PublishedState:
        """Read every harm's aliases once and publish what changed.

        A harm whose aliases can't be read keeps its published versions and doesn't delay the others.

        Raises:
            Unavailable: the registry is down. Everything published stays.
        """
        for watch in self._watches:
            watch.check()
        self.look_after()
        answered: dict[str, HarmState] = {}
        failed: dict[str, Exception] = {}
        # Harms that failed last time come last, so that they don't delay the others.
        for harm in sorted(self._policies.harms, key=self._failed.__contains__):
            try:
                answered[harm] = self._follow(harm, self._before(harm), self._registry.aliases(harm))
            except Exception as error:
                failed[harm] = error
                if not answered and len(failed) == _GIVE_UP_AFTER:
                    break
        self._failed = set(failed)
        if not answered:
            raise next(iter(failed.values()))
        for harm, failure in failed.items():
            _log.warning("keeping the published versions of %s: %s", harm, reason_of(failure))
        return self._publish({harm: answered.get(harm, self._before(harm)) for harm in self._policies.harms})

    def look_after(self) -> None:
        """Check what is published, fetch damaged versions again, and publish which ones still are damaged."""
        named = [(harm, version) for harm, state in self._state.harms.items() for version in state.versions]
        self._damaged = self._folders.look_after(named)
        harms = {harm: self._with_damage(harm, state) for harm, state in self._state.harms.items()}
        # What this follower wrote is whole in its memory, even if the file isn't any more.
        lost = bool(harms) and not self._is_written()
        if lost:
            _log.warning("writing %s again, which is missing or isn't what this follower wrote", STATE_FILE)
        if lost or harms != self._state.harms:
            self._state = msgspec.structs.replace(self._state, harms=harms)
            write_state(self._folder, self._state)

    def _is_written(self) -> bool:
        try:
            return read_state(self._folder) == self._state
        except ModelRefused:
            return False

    def _with_damage(self, harm: str, state: HarmState) -> HarmState:
        damaged = {version: why for (of, version), why in self._damaged.items() if of == harm}
        return state if damaged == state.damaged else msgspec.structs.replace(state, damaged=damaged)

    def _publish(self, harms: dict[str, HarmState]) -> PublishedState:
        harms = {harm: self._with_damage(harm, state) for harm, state in harms.items()}
        state = PublishedState(self._clock(), harms, *self._digests)
        write_state(self._folder, state)
        for harm, after in harms.items():
            self._report(harm, self._before(harm), after)
        self._state = state
        return state

    def _before(self, harm: str) -> HarmState:
        return self._state.harms.get(harm, HarmState())

    def _load_state(self) -> PublishedState:
        try:
            return read_state(self._folder)
        except ModelRefused as error:
            _log.warning("starting with an empty state: %s", error)
            return PublishedState()

    def _follow(self, harm: str, before: HarmState, aliases: dict[str, str]) -> HarmState:
        refused: dict[str, str] = {}

        def verified(role: str) -> str | None:
            """The version the alias points to, if it can be published."""
            version = aliases.get(role)
            why = None if version is None else self._retired(harm, version) or self._refusal(harm, version)
            if version is not None and why is not None:
                refused[version] = why
                return None
            return version

        # If a new champion fails, the previous one stays. If a canary or challenger fails, the role is empty.
        champion = verified("champion") or (self._kept(harm, before) if "champion" in aliases else None)
        canary, challenger = verified("canary"), verified("challenger")
        previous = before.previous if champion == before.champion else before.champion or before.previous
        return HarmState(
            champion,
            refused,
            aliases,
            canary=canary if canary != champion else None,
            challenger=challenger if challenger != champion else None,
            previous=previous if previous != champion else None,
            canary_share=self._canary_share(harm, canary) if canary else None,
        )

    def _canary_share(self, harm: str, version: str) -> float | None:
        """The share that the canary was started with; None if an earlier release started it."""
        try:
            share = float(self._registry.tags_of(harm, version)[CANARY_SHARE])
        except (KeyError, ValueError):
            return None
        return share if 0 < share < 1 else None

    def _kept(self, harm: str, before: HarmState) -> str | None:
        """The champion that stays when a new one is refused: the last published one, unless it has been retired."""
        published = (before.champion, before.previous)
        return next((version for version in published if version and not self._retired(harm, version)), None)

    def _retired(self, harm: str, version: str) -> str | None:
        """Why a retired version can't be published; None if it isn't retired, or doesn't exist."""
        try:
            retired = why_retired(harm, version, self._registry.tags_of(harm, version))
        except NotFound:
            return None
        if retired is not None and (harm, version) not in self._told_retired:
            self._told_retired.add((harm, version))
            _log.warning("refused %s version %s: %s", harm, version, retired)
        return retired

    def _refusal(self, harm: str, version: str) -> str | None:
        """Why a version can't be published; None if it is verified and its folder is in place."""
        key = (harm, version)
        if self._folders.in_place(harm, version):
            return None
        tried_at, before = self._refused.get(key, (0.0, None))
        if before is not None and self._timer() - tried_at < RETRY_REFUSED_S:
            return before
        if key in self._damaged:
            # It was published before, and stays published; it was just tried to fetch it again.
            return None
        try:
            self._folders.ensure(harm, version)
        except Exception as error:
            why = reason_of(error)
            if why != before:
                _log.warning("refused %s version %s: %s", harm, version, why)
            self._refused[key] = (self._timer(), why)
            return why
        self._refused.pop(key, None)
        return None

    def _report(self, harm: str, before: HarmState, after: HarmState) -> None:
        for role in ("champion", "canary", "challenger"):
            if getattr(after, role) != getattr(before, role):
                _log.info("published %s version %s as %s", harm, getattr(after, role), role)
        if after.versions != before.versions:
            self._folders.delete_old(harm, after.versions)


def run(follower: Follower, *, every_s: float, stopped: threading.Event) -> None:
    """Step every `every_s` seconds until `stopped`, with exponential back-off while the registry is down.

    What is published is looked after all the same.
    """
    failures, next_step = 0, 0.0
    while not stopped.is_set():
        try:
            if time.monotonic() >= next_step:
                follower.step()
                failures, next_step = 0, 0.0
            else:
                follower.look_after()
        except Exception as error:
            failures += 1
            next_step = time.monotonic() + min(every_s * 2 ** min(failures, 10), _MAX_BACKOFF_S)
            if failures in (1, 10) or failures % 100 == 0:
                _log.warning("keeping the published versions (failed attempts: %d): %s", failures, reason_of(error))
        stopped.wait(every_s)


def main() -> None:
    """Follow until SIGTERM, SIGINT or the parent's end."""
    die_with_parent()
    keep_private()
    os.nice(_NICENESS)
    settings = load_settings()
    replace_missing(settings.root)
    logs.set_up(settings)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    waits = False
    while not stopped.is_set():
        try:
            with only_one(settings.published_dir / LOCK_FILE, what="following the registry"):
                _follow(settings, stopped)
        except Conflict as error:
            if not waits:
                _log.info("waiting to take over: %s", error.message)
            waits = True
            stopped.wait(min(settings.alias_poll_s, _ASK_S))


def _follow(settings: Settings, stopped: threading.Event) -> None:
    from models.registry.mlflow_registry import MlflowRegistry

    follower = Follower(settings, load_policies(settings.policies), MlflowRegistry(settings))
    # In this process, because there is one of it in each home.
    with pruning_daily(settings):
        run(follower, every_s=settings.alias_poll_s, stopped=stopped)


if __name__ == "__main__":
    main()
