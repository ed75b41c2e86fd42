"""What scoring hands over to be done off the answer's path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.contract import FeatureContract
from models.version import ModelVersion, Scores

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Those of a job's n subjects which a contract lets be scored.

    `features` (m, k) float32 in the contract's order; `texts` (m,); `places` (m,) their places among the n.
    """

    features: Floats
    texts: Sequence[str | None]
    places: Places


# Called in the shadow's thread: what it reads must not change after the job was offered.
RowsFor = Callable[[FeatureContract], Rows]


@dataclass(frozen=True)
class ShadowJob:
    """A challenger to score n subjects that another version answers for.

    Args:
        done: called in the shadow's thread with the scores and the subjects' places; writes the prediction log.
    """

    version: ModelVersion
    n: int
    rows_for: RowsFor
    done: Callable[[Scores, Places], None]


@dataclass(frozen=True)
class PairedJob:
    """n subjects for which a canary answered, to be scored by the champion too.

    Args:
        rows_for: gives the canary's contract all n rows; it answered for them.
        scores: (n,) the canary's, as answered.
        subjects: (n,) their keys, so that no subject counts twice.
        took_s: seconds that text stage and booster took on the answer's path for all n.
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
