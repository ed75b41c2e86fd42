"""Lets a process that answers requests notice that other features are live."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from features.declared.feature_set import FeatureSet
from features.declared.generations import live
from leads.background import repeating
from leads.errors import Unavailable

_EVERY_S = 1.0
_log = logging.getLogger(__name__)


class Reader(Protocol):
    """What reads the rows of live features."""

    @property
    def features(self) -> FeatureSet: ...

    def use(self, features: FeatureSet) -> None: ...


class FeatureWatch:
    """Asks the database once a second which features are live. While it is down, the reader keeps those it has.

    Args:
        prepare: called with other features before they are read.
    """

    def __init__(
        self, engine: Engine, reader: Reader, prepare: Callable[[FeatureSet], None] = lambda features: None
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._prepare = prepare
        self._failing = False
        self._running = ExitStack()

    def start(self) -> None:
        """Start the thread."""
        self._running.enter_context(repeating(self.look, every_s=_EVERY_S, name="watch for live features"))

    def look(self) -> int:
        """Look once. Returns 0."""
        try:
            features = live(self._engine)
        except (Unavailable, sa.exc.SQLAlchemyError) as error:
            if not self._failing:
                _log.warning("can't ask which features are live, trying again: %s", error)
            self._failing = True
            return 0
        self._failing = False
        if features is not self._reader.features:
            _log.info("reading the features of generation %d", features.number)
            self._prepare(features)
            self._reader.use(features)
        return 0

    def close(self) -> None:
        """Stop the thread."""
        self._running.close()
