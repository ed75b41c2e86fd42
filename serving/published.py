"""The versions this process serves: follows what the follower published, loads off the request path, swaps at once.

`published/state.json` says which version of each harm to serve. A version that can't be loaded or doesn't prove itself
here leaves the one before in place.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec

from leads.clock import Micros
from leads.errors import LeadsError, ModelRefused
from leads.files import write_json
from leads.settings import Settings
from models.sentence import place_of
from models.version import ModelVersion
from models.version import load as load_version
from serving.lineup import Lineup

STATE_FILE = "state.json"
POLL_S = 0.5
_log = logging.getLogger(__name__)


class HarmState(msgspec.Struct, frozen=True, omit_defaults=False):
    """What is published for a harm: the version to serve, why others are not, and where MLflow's aliases point."""

    champion: str | None = None
    refused: Mapping[str, str] = {}
    aliases: Mapping[str, str] = {}


class State(msgspec.Struct, frozen=True):
    """`checked_at` is when the registry last answered, 0 if never."""

    checked_at: Micros = 0
    harms: Mapping[str, HarmState] = {}


class Served(msgspec.Struct, frozen=True):
    """A harm as this process sees it. `converged`: it serves what the alias names."""

    harm: str
    serving: str | None
    previous: str | None
    published: HarmState
    refused_here: str | None

    @property
    def converged(self) -> bool:
        return self.serving == self.published.aliases.get("champion", self.published.champion)


def read_state(folder: Path) -> State:
    """What is published; empty when nothing ever was.

    Raises:
        ModelRefused: the file is damaged.
    """
    try:
        return msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=State)
    except FileNotFoundError:
        return State()
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelRefused(
            "state.json can't be read.", field=str(folder), remedy="Start the follower again."
        ) from error


def write_state(folder: Path, state: State) -> None:
    """Publish, atomically and durably."""
    write_json(folder / STATE_FILE, state)


class Published:
    """Thread-safe. `refresh` does the work; `start` has it done in the background."""

    def __init__(self, settings: Settings, *, load: Callable[[Path], ModelVersion] | None = None) -> None:
        self._folder = settings.published_dir
        self._load = load or partial(load_version, place=place_of(settings))
        self._state = State()
        self._seen: tuple[int, int, int] | None = None
        # Replaced as a whole, never changed: a request works with the one it took.
        self._champions: Mapping[str, ModelVersion] = MappingProxyType({})
        self._previous: dict[str, str] = {}
        self._refused: dict[str, tuple[str, str]] = {}
        self._refreshing = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def champions(self) -> Mapping[str, ModelVersion]:
        """The loaded and proven version of each harm, as of now."""
        return self._champions

    def lineup(self) -> Lineup:
        return Lineup(self._champions)

    @property
    def checked_at(self) -> Micros:
        """When the registry last answered the follower; 0 if never."""
        return self._state.checked_at

    def served(self) -> list[Served]:
        """Every published harm, with what is served and why if not what should be."""
        champions = self._champions
        return [
            Served(
                harm,
                champions[harm].version if harm in champions else None,
                self._previous.get(harm),
                state,
                self._refused[harm][1] if harm in self._refused else None,
            )
            for harm, state in self._state.harms.items()
        ]

    def ready(self) -> bool:
        """Whether every published champion is loaded and proven here, and there is at least one."""
        wanted = {harm: state.champion for harm, state in self._state.harms.items() if state.champion}
        return bool(wanted) and {harm: version.version for harm, version in self._champions.items()} == wanted

    def refresh(self) -> bool:
        """Look once; returns whether anything changed. What can't be served is noted and logged, not raised."""
        with self._refreshing:
            seen = self._stat()
            if seen == self._seen and not self._refused:
                return False
            try:
                self._state = read_state(self._folder)
            except ModelRefused as error:
                _log.warning("keeping the served versions: %s", error)
                return False
            self._seen = seen
            return self._follow()

    def start(self) -> None:
        """Refresh now and then in a thread of its own, until `stop`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="published", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self.refresh()
            if self._stopped.wait(POLL_S):
                return

    def _follow(self) -> bool:
        champions = dict(self._champions)
        for harm in [harm for harm in champions if not self._wanted(harm)]:
            self._previous[harm] = champions.pop(harm).version
        for harm in self._state.harms:
            wanted = self._wanted(harm)
            if wanted is None or (harm in champions and champions[harm].version == wanted):
                self._refused.pop(harm, None)
                continue
            version = self._prove(harm, wanted)
            if version is not None:
                if harm in champions:
                    self._previous[harm] = champions[harm].version
                champions[harm] = version
        before = {harm: version.version for harm, version in self._champions.items()}
        self._champions = MappingProxyType(champions)
        return before != {harm: version.version for harm, version in champions.items()}

    def _wanted(self, harm: str) -> str | None:
        return self._state.harms[harm].champion if harm in self._state.harms else None

    def _prove(self, harm: str, wanted: str) -> ModelVersion | None:
        """The version, loaded and warmed up by its golden rows; None when it fails."""
        try:
            version = self._load(self._folder / harm / wanted)
            if (version.harm, version.version) != (harm, wanted):
                raise ModelRefused(f"The folder holds {version.name} version {version.version}.")
            version.verify()
        except (LeadsError, OSError) as error:
            if self._refused.get(harm) != (wanted, str(error)):
                _log.warning("keeping the served version of %s, not %s: %s", harm, wanted, error)
            self._refused[harm] = (wanted, str(error))
            return None
        self._refused.pop(harm, None)
        _log.info("serving %s version %s", version.name, wanted)
        return version

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self._folder / STATE_FILE)
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino, stat.st_size
