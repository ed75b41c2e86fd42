"""What scoring reads features from and writes predictions to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from features.declared.feature_set import FeatureSet
from features.links import Links
from features.online.reader import Fetched
from leads.events import Subject
from leads.predictions.batch import PredictionBatch


class FeatureReader(Protocol):
    """Reads stored feature rows, as `features.online.reader.OnlineReader` does."""

    @property
    def features(self) -> FeatureSet: ...

    def use(self, features: FeatureSet) -> None: ...

    def fetch(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None = None) -> Fetched: ...

    def close(self) -> None: ...


class PredictionSink(Protocol):
    """Takes predictions, as `leads.predictions.log.PredictionLog` does. `append` must not block."""

    def append(self, batch: PredictionBatch) -> None: ...
