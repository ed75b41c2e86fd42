"""Notices that `policies.yaml` has changed since this process read it: a running service goes on with what it read."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from leads.errors import ConfigurationError
from leads.policies import Policies, load_policies

_log = logging.getLogger(__name__)


class PolicyWatch:
    """Compares the policies that this process has read with the file. Not thread-safe.

    Args:
        policies: what was read from `path`.
    """

    def __init__(self, path: Path, policies: Policies) -> None:
        self._path = path
        self._digest = policies.digest
        self._seen = _written(path)
        self._logged: str | None = None

    def check(self) -> None:
        """Log once per change that the service needs a restart, or that the file is invalid now."""
        written = _written(self._path)
        if written == self._seen:
            return
        self._seen = written
        try:
            found = load_policies(self._path).digest
        except ConfigurationError as error:
            _log.warning("the service goes on with the policies that it read at its start: %s", error)
            return
        if found not in (self._digest, self._logged):
            _log.warning("%s has changed: restart the service to apply it", self._path)
        self._logged = found


def _written(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
