"""The work that scoring hands to the trials: done in the background, after the caller has its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.contract import FeatureContract
from models.scores import Scores
from models.version import ModelVersion

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class ShadowRows(NamedTuple):
    """The m of a job's n subjects that a contract's rules allow to be scored.

    Args:
        features: (m, k) float32, the contract's columns in order.
        texts: (m,) None where a subject has no text.
        places: (m,) their positions among the n subjects.
    """

    features: Floats
    texts: Sequence[str | None]
    places: Places


# Called in the shadow thread, so what it reads must not change after the job was submitted.
RowsFor = Callable[[FeatureContract], ShadowRows]


@dataclass(frozen=True)
class ChallengerJob:
    """A challenger scores n subjects for which another version answered.

    Args:
        version: the challenger.
        done: called in the shadow thread with the scores and the subjects' positions among the n.
    """

    version: ModelVersion
    n: int
    rows_for: RowsFor
    done: Callable[[Scores, Places], None]


@dataclass(frozen=True)
class CanaryJob:
    """The champion scores n subjects for which a canary answered, to compare the two.

    Args:
        scores: (n,) float64, the canary's scores as they were returned.
        subjects: (n,) the subjects' keys, so that each subject counts once.
        rows_for: returns all n rows for the canary's contract, because the canary scored them all.
        took_s: seconds that the canary's text scores and booster took for all n in the scoring call.
    """

    canary: ModelVersion
    champion: ModelVersion
    scores: Doubles
    subjects: Sequence[str] = field(repr=False)
    rows_for: RowsFor
    took_s: float

    @property
    def n(self) -> int:
        return len(self.subjects)


TrialJob = CanaryJob | ChallengerJob
