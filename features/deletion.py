"""Deletes feature rows, so that a worker derives them again."""

from __future__ import annotations

import shutil

from features.declared.generations import live_features
from features.online.writer import OnlineWriter
from features.state_stores import clear_states
from leads.settings import Settings


def delete_rows(settings: Settings) -> None:
    """Delete every feature row, offline and online. They can be derived again from the event log.

    What says that rows exist goes before the rows themselves: if this is interrupted, nothing counts as written.
    """
    features = live_features(settings)
    folder = features.folder(settings)
    segments = folder / "segments"
    clear_states(settings)
    for path in (*folder.glob("online-*.json"), *segments.glob("manifest-*.json")):
        path.unlink()
    OnlineWriter(settings, features).clear()
    shutil.rmtree(segments, ignore_errors=True)
