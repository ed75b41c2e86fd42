"""Deletes feature rows, so that a worker derives them again, or because they are no longer read."""

from __future__ import annotations

import shutil

from sqlalchemy.engine import Connection

from features.declared import generations
from features.declared.feature_set import FeatureSet
from features.declared.generations import live_features
from features.layout import FIRST_NUMBER
from features.online.writer import OnlineWriter
from features.state_stores import clear_state, clear_states
from leads.db import cursors
from leads.db.engine import unchecked_engine
from leads.settings import Settings


def delete_rows(settings: Settings) -> None:
    """Delete every feature row, offline and online. They can be derived again from the event log.

    A generation of features that is being built is forgotten.
    """
    features = live_features(settings)
    clear_states(settings)
    _forget_rows(settings, features)
    OnlineWriter(settings, features).clear()
    shutil.rmtree(features.folder(settings) / "segments", ignore_errors=True)
    engine = unchecked_engine(settings)
    try:
        with engine.begin() as connection:
            coming = generations.coming_generation(connection)
        if coming is not None:
            delete_generation(settings, coming.features)
            with engine.begin() as connection:
                generations.forget(connection, coming.number)
    finally:
        engine.dispose()


def begin_without_rows(connection: Connection, partitions: int) -> None:
    """Let workers derive every row again in a home that has none, for example after a restore.

    As after `leads worker --rebuild`, events that were scored aren't scored again, and a generation of features that
    was being built is forgotten.
    """
    cursors.begin_rebuild(connection, partitions)
    coming = generations.coming_generation(connection)
    if coming is not None:
        generations.forget(connection, coming.number)


def delete_generation(settings: Settings, features: FeatureSet) -> None:
    """Delete the rows of a generation of features that nobody reads or writes any more."""
    clear_state(settings, features)
    _forget_rows(settings, features)
    OnlineWriter(settings, features).remove()
    shutil.rmtree(features.folder(settings) / "segments", ignore_errors=True)
    if features.number != FIRST_NUMBER:
        shutil.rmtree(features.folder(settings), ignore_errors=True)


def _forget_rows(settings: Settings, features: FeatureSet) -> None:
    """Delete what says that rows exist, before the rows: if this is interrupted, nothing counts as written."""
    folder = features.folder(settings)
    for path in (*folder.glob("online-*.json"), *folder.glob("segments/manifest-*.json")):
        path.unlink()
