"""The versions this process serves: loads what the follower published, in the background, and swaps them all at once.

`published/state.json` says which version of each harm has which role. If a new champion can't be loaded here, the
previous one stays. If a canary or challenger can't, the role is empty. A version whose files are damaged is reported to
the follower, which fetches it again.

Requests are answered meanwhile, so this thread may not keep Python's lock for long. It reads, hashes and parses what it
needs without the lock, leaves verification to the follower or to a child process, and pauses between two versions.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from features.declared.feature_set import FeatureSet
from features.declared.generations import live
from leads.clock import Micros
from leads.errors import FilesDamaged, LeadsError, ModelRefused
from leads.policies import Policies
from leads.settings import Settings
from models.text.sentence import place_of
from models.version import ModelVersion
from models.version import load as load_version
from serving.lineup import Absent, Canary, Lineup
from serving.scoring.model_input import prepare
from serving.trials.retreats import Key, Retreats
from serving.versions import damage
from serving.versions.proofs import Proof
from serving.versions.proving import Prover
from serving.versions.published_state import STATE_FILE, HarmState, PublishedState, read_state
from serving.versions.serving_status import ServingStatus
from serving.versions.verification import Load, load_proven, reason_of

POLL_S = 0.5
# Seconds after which a version refused here is tried again; earlier if its folder changes.
RETRY_REFUSED_S = 10.0
# Between two versions, so that requests that wait get their turn.
_PAUSE_S = 0.01
# A version that isn't needed any more is freed by this class's thread, once no request can be using it.
_FREED_AFTER_S = 5.0
_STOP_S = 5.0
Prove = Callable[[Sequence[Key]], Mapping[Key, Proof | ModelRefused]]
_Stat = tuple[int, int, int] | None
_log = logging.getLogger(__name__)


class _Refused(NamedTuple):
    why: str
    tried_at: float
    folder: _Stat
    damaged: bool


class PublishedVersions:
    """The published versions, loaded and verified. Thread-safe. `refresh` does the work; `start` does so in a thread.

    Args:
        engine: of the database that stores the retreats of canaries and the generations of features.
        load: makes a version from a folder; by default `models.version.load`, without the files that only describe it.
        prove: gets the proofs of versions, or why there are none; by default `serving.versions.proving.Prover`.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        engine: Engine,
        *,
        load: Load | None = None,
        prove: Prove | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.retreats = Retreats(engine)
        self._folder = settings.published_dir
        self._policies = policies
        self._load = load or partial(load_version, place=place_of(settings), every_file=False)
        self._prove = prove or Prover(self._folder, place_of(settings)).proofs
        self._live = partial(live, engine)
        self._timer = timer
        self._state = PublishedState()
        self._seen: _Stat = None
        self._damaged: _Stat = None
        # Replaced as a whole, never modified: a request keeps the line-up it started with.
        self._loaded: Mapping[Key, ModelVersion] = MappingProxyType({})
        self._champions: Mapping[str, ModelVersion] = MappingProxyType({})
        self._lineup = Lineup()
        self._retired: deque[tuple[float, ModelVersion]] = deque()
        self._refused: dict[Key, _Refused] = {}
        self._refreshing, self._swapping = threading.Lock(), threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.retreats.subscribe(self._rebuild_lineup)

    def lineup(self) -> Lineup:
        """The current versions of each harm by role. A canary that retreated is left out."""
        return self._lineup

    @property
    def checked_at(self) -> Micros:
        """When the registry last responded to the follower, in µs since epoch; 0 if never."""
        return self._state.checked_at

    def status(self) -> list[ServingStatus]:
        """For every published harm, which version serves, and why others don't."""
        champions, loaded, standing = self._champions, self._loaded, self.retreats.standing
        failed = list(self._refused.items())
        return [
            ServingStatus(
                harm=harm,
                serving=champions[harm].version if harm in champions else None,
                published=state,
                loaded=frozenset(version for of, version in loaded if of == harm),
                share=self._share(harm),
                retreat=standing.get((harm, state.canary)) if state.canary else None,
                refused_here={version: one.why for (of, version), one in failed if of == harm},
                damaged_here=frozenset(version for (of, version), one in failed if of == harm and one.damaged),
            )
            for harm, state in self._state.harms.items()
        ]

    def prepare_for(self, features: FeatureSet) -> None:
        """Compile what the loaded versions need with these features, before requests are scored with them."""
        prepare([version.contract for version in self._loaded.values()], features)

    def refresh(self) -> bool:
        """Load what is newly published; returns whether anything changed. Failing versions are refused and logged."""
        with self._refreshing:
            changed = self._follow_state()
            self._free_one()
            if self.retreats.waiting or any(state.canary for state in self._state.harms.values()):
                changed |= self.retreats.refresh()
            return changed

    def start(self) -> None:
        """Refresh every `POLL_S` seconds in a background thread, until `stop`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="published", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread. It isn't awaited for long if it waits for a child, which ends with this process."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)
        if self.retreats.waiting:
            self.retreats.refresh()

    def _run(self) -> None:
        while True:
            try:
                self.refresh()
            except Exception as error:
                _log.exception("keeping the loaded versions: %s", reason_of(error))
            if self._stopped.wait(POLL_S):
                return

    def _follow_state(self) -> bool:
        seen = _stat(self._folder / STATE_FILE)
        # A missing file changes nothing: a version is withdrawn only by a state that leaves it out.
        if seen is None or (seen == self._seen and not self._refused):
            return False
        try:
            self._state = read_state(self._folder)
        except ModelRefused as error:
            if seen != self._damaged:
                _log.warning("keeping the loaded versions: %s", error)
            self._damaged = seen
            return False
        self._seen = seen
        self._show_absent()
        before = self._numbers()
        self._follow()
        return before != self._numbers()

    def _numbers(self) -> tuple[dict[str, str], set[Key]]:
        return {harm: version.version for harm, version in self._champions.items()}, set(self._loaded)

    def _follow(self) -> None:
        """Load the named versions. Champions come first, so that they serve while the others are still loading."""
        named = {(harm, version) for harm, state in self._state.harms.items() for version in state.versions}
        self._refused = {key: one for key, one in self._refused.items() if key in named}
        self._load_all((harm, state.champion) for harm, state in self._state.harms.items() if state.champion)
        champions: dict[str, ModelVersion] = {}
        for harm, state in self._state.harms.items():
            if state.champion:
                version = self._loaded.get((harm, state.champion)) or self._champions.get(harm)
                champions |= {harm: version} if version is not None else {}
        self._swap(champions, self._loaded)
        self._load_all(sorted(named))
        answering = {(harm, version.version) for harm, version in champions.items()}
        self._swap(champions, {key: one for key, one in self._loaded.items() if key in named or key in answering})

    def _load_all(self, keys: Iterable[Key]) -> None:
        """Load the versions that aren't loaded yet, unless they failed a moment ago."""
        due = [key for key in keys if key not in self._loaded and not self._waits(key)]
        proofs = self._prove(due) if due else {}
        for key in due:
            self._load_one(key, proofs[key])
            self._stopped.wait(_PAUSE_S)

    def _waits(self, key: Key) -> bool:
        """Whether the version was refused a moment ago, and its folder hasn't changed since."""
        last = self._refused.get(key)
        if last is None or self._timer() - last.tried_at >= RETRY_REFUSED_S:
            return False
        return last.folder == _stat(self._folder.joinpath(*key))

    def _load_one(self, key: Key, proof: Proof | ModelRefused) -> None:
        folder = self._folder.joinpath(*key)
        stat = _stat(folder)
        try:
            if isinstance(proof, ModelRefused):
                raise proof
            version = load_proven(self._load, proof, folder, *key, self._live)
        except ModelRefused as error:
            self._refuse(key, error, stat)
            return
        self._refused = {of: one for of, one in self._refused.items() if of != key}
        # While the database is down, the first request compiles it.
        with suppress(LeadsError, SQLAlchemyError):
            prepare([version.contract], self._live())
        self._loaded = MappingProxyType({**self._loaded, key: version})
        _log.info("loaded %s version %s", version.name, version.version)

    def _refuse(self, key: Key, error: ModelRefused, stat: _Stat) -> None:
        last, damaged = self._refused.get(key), isinstance(error, FilesDamaged)
        if last is None or last.why != str(error):
            _log.warning("refused %s version %s: %s", *key, error)
        if damaged:
            damage.report(self._folder.joinpath(*key), str(error))
        self._refused = {**self._refused, key: _Refused(str(error), self._timer(), stat, damaged)}
        self._show_absent()

    def _free_one(self) -> None:
        """Free the version that has been unused for longest, if it has been for long enough: it takes a moment."""
        if self._retired and self._timer() - self._retired[0][0] >= _FREED_AFTER_S:
            self._retired.popleft()

    def _swap(self, champions: Mapping[str, ModelVersion], loaded: Mapping[Key, ModelVersion]) -> None:
        unused = [version for key, version in self._loaded.items() if loaded.get(key) is not version]
        self._retired.extend((self._timer(), version) for version in unused)
        with self._swapping:
            self._champions, self._loaded = MappingProxyType(dict(champions)), MappingProxyType(dict(loaded))
        self._rebuild_lineup()

    def _rebuild_lineup(self) -> None:
        """Put the loaded versions into their roles. Also called by whichever thread makes a canary retreat."""
        with self._swapping:
            canaries, challengers = {}, {}
            for harm, champion in self._champions.items():
                state = self._state.harms.get(harm, HarmState())
                canary, challenger = (self._loaded_beside(harm, x, champion) for x in (state.canary, state.challenger))
                share, retreats = self._share(harm), self.retreats
                if canary and share and retreats.known and (harm, canary.version) not in retreats.standing:
                    canaries[harm] = Canary(canary, share)
                if challenger:
                    challengers[harm] = challenger
            roles = MappingProxyType(canaries), MappingProxyType(challengers)
            self._lineup = Lineup(self._champions, *roles, self._absent())

    def _show_absent(self) -> None:
        """Say in the line-up which champions are missing now. The versions keep their roles until others are loaded."""
        with self._swapping:
            self._lineup = replace(self._lineup, absent=self._absent())

    def _absent(self) -> Mapping[str, Absent]:
        return MappingProxyType({one.harm: one.absent for one in self.status() if one.absent is not None})

    def _loaded_beside(self, harm: str, number: str | None, champion: ModelVersion) -> ModelVersion | None:
        return self._loaded.get((harm, number)) if number and number != champion.version else None

    def _share(self, harm: str) -> float | None:
        policy, state = self._policies.harms.get(harm), self._state.harms.get(harm)
        if policy is None:
            return None
        # The share of the running trial, if known: this process read policies.yaml when it started.
        return policy.canary.share if state is None or state.canary_share is None else state.canary_share


def _stat(path: Path) -> _Stat:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
