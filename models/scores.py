"""What a version computes for a batch of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class Scores(NamedTuple):
    """`vector` (n, m) is the booster's input, `margin` (n,) its output in log-odds, `score` (n,) the probability."""

    vector: Floats
    margin: Doubles
    score: Doubles
