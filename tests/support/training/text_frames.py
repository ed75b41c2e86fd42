"""Features of subjects of which only the text is known, in place of those joined from stored rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.contract import FeatureContract
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import evaluate
from features.layout import missing
from features.offline.frames import Frame
from leads.events import Subject
from leads.settings import Settings


def frame(
    _settings: Settings,
    contract: FeatureContract,
    subjects: Sequence[Subject],
    texts: Sequence[str | None],
    as_of: np.ndarray,
    features: FeatureSet,
) -> Frame:
    """Of every subject only its text is known: what `point_in_time` gives for rows that were never stored."""
    return Frame(
        evaluate(contract, missing(features.roles, len(subjects)), as_of, texts, features).matrix,
        np.zeros((len(subjects), 3), dtype=np.int64),
    )
