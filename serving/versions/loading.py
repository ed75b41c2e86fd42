"""How a process that starts waits until it has loaded what is published."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from leads.background import Patience
from leads.errors import ModelRefused
from serving.versions.published import PublishedVersions
from serving.versions.published_state import read_state

# Seconds without progress after which the process starts to answer anyway.
PATIENCE_S = 60.0
# The same, if only damaged versions are left, which the follower fetches again within seconds unless MLflow is down.
HEALING_S = 15.0
_POLL_S = 0.05
_log = logging.getLogger(__name__)


def wait_until_loaded(
    published: PublishedVersions,
    folder: Path,
    stopping: threading.Event,
    *,
    patience_s: float = PATIENCE_S,
    healing_s: float = HEALING_S,
) -> None:
    """Wait until every published version is loaded or refused, and none is damaged. Blocks.

    Args:
        folder: what the follower publishes.
        stopping: ends the wait.
        patience_s: the wait ends after so many seconds in which no version was loaded.
        healing_s: the same, once all that are left are damaged.
    """
    patience, healing = Patience(patience_s), Patience(healing_s)
    while not stopping.wait(_POLL_S):
        missing = _missing(published, folder)
        damaged = {(one.harm, "damaged") for one in published.status() if one.damaged}
        if not missing and not damaged:
            return
        # Progress, until only damaged versions are left.
        gave_up = healing.lost(damaged if not missing else object())
        if patience.lost(missing | damaged) or gave_up:
            named = [f"{harm} version {version}" for harm, version in sorted(missing)]
            named += [f"{harm} (damaged)" for harm, _ in sorted(damaged)]
            _log.warning("answering requests before these versions are loaded: %s", ", ".join(named))
            return


def _missing(published: PublishedVersions, folder: Path) -> set[tuple[str, str]]:
    """The published versions that are neither loaded nor refused, by harm."""
    try:
        named = {(harm, version) for harm, one in read_state(folder).harms.items() for version in one.versions}
    except ModelRefused:
        # The process says why when it reads the file itself.
        return set()
    status = published.status()
    known = {(one.harm, version) for one in status for version in (*one.loaded, *one.refused_here)}
    # A champion that is loaded serves a moment later.
    coming = {(one.harm, one.absent.version) for one in status if one.absent and one.absent.why == "loading"}
    return (named - known) | coming
