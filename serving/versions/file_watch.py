"""Notices that `policies.yaml` or `platform.yaml` has changed: a running service goes on with what it read."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from leads import clock
from leads.errors import ConfigurationError, ModelRefused
from leads.platform.declaration import load_platform
from leads.policies import load_policies
from leads.settings import Settings
from serving.versions.published_state import is_followed, read_state

# The follower of a running service looks more often, unless the registry is down.
_RUNNING_S = 120
_log = logging.getLogger(__name__)


class Digested(Protocol):
    """The contents of a file."""

    @property
    def digest(self) -> str: ...


class FileWatch:
    """Compares what this process has read of a file with the file. Not thread-safe.

    Args:
        load: reads the file.
        contents: what was read from `path`.
    """

    def __init__(self, path: Path, load: Callable[[Path], Digested], contents: Digested) -> None:
        self._path = path
        self._load = load
        self._digest = contents.digest
        self._seen = _written(path)
        self._logged: str | None = None

    def check(self) -> None:
        """Log once per change that the service needs a restart, or that the file is invalid now."""
        written = _written(self._path)
        if written == self._seen:
            return
        self._seen = written
        try:
            found = self._load(self._path).digest
        except ConfigurationError as error:
            _log.warning("the service goes on with the file that it read at its start: %s", error)
            return
        if found not in (self._digest, self._logged):
            _log.warning("%s has changed; to apply it, run: leads restart", self._path)
        self._logged = found


def changed_files(settings: Settings) -> list[Path] | None:
    """The files that say something else than what the running service of this home has read.

    Returns:
        None if no service runs, or if it isn't known what it has read.

    Raises:
        ConfigurationError: a file isn't valid.
    """
    try:
        state = read_state(settings.published_dir)
    except ModelRefused:
        return None
    if not is_followed(settings.published_dir) or clock.seconds_since(state.checked_at) > _RUNNING_S:
        return None
    read: tuple[tuple[Path, str, Callable[[Path], Digested]], ...] = (
        (settings.policies, state.policies, load_policies),
        (settings.platform, state.platform, load_platform),
    )
    # What earlier releases have read isn't known.
    known = [(path, digest, load) for path, digest, load in read if digest]
    return [path for path, digest, load in known if digest != load(path).digest] if known else None


def _written(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
