"""Joins features to labelled subjects and texts, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from features.contract import FeatureContract
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import text_only
from features.offline.frames import Frame
from leads.events import Subject
from leads.settings import Settings

Floats = npt.NDArray[np.float32]
Instants = npt.NDArray[np.int64]

# Labels whose features are joined at once. Meanwhile each takes some KB of memory, and 6 KB of disk.
JOINED_AT_ONCE = 100_000
# Texts whose features are computed at once.
_TEXTS_AT_ONCE = 10_000
# Looks up the features of subjects at given instants: (settings, contract, subjects, texts, instants in µs, the live
# features).
FrameSource = Callable[
    [Settings, FeatureContract, Sequence[Subject], Sequence[str | None], Instants, FeatureSet],
    Frame,
]


def join_features(
    settings: Settings,
    contract: FeatureContract,
    subjects: Sequence[Subject],
    texts: Sequence[str | None],
    as_of: Instants,
    features: FeatureSet,
    *,
    frame: FrameSource,
    into: Floats,
    tell: Callable[[str], object] = lambda _: None,
) -> None:
    """Write the features of n subjects, as of their instants, to the first n rows of a matrix.

    Part by part, so that beside the matrix only the rows and keys of one part are in memory.

    Raises:
        NotFound: no features have been derived yet.
    """
    n = len(subjects)
    for start in range(0, n, JOINED_AT_ONCE):
        part = slice(start, min(start + JOINED_AT_ONCE, n))
        tell(f"joining features, {start:,} of {n:,} labels")
        into[part] = frame(settings, contract, subjects[part], texts[part], as_of[part], features).matrix


def fill_texts(contract: FeatureContract, texts: Sequence[str | None], features: FeatureSet, *, into: Floats) -> None:
    """Write the features of n texts without a subject to a matrix of n rows."""
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        part = slice(start, start + _TEXTS_AT_ONCE)
        into[part] = text_only(contract, texts[part], features)
