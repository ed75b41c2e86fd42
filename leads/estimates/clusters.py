"""How much rows tell that come in groups, such as the comments of one account."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def observations(groups: npt.NDArray[np.uint64] | npt.NDArray[np.str_]) -> float:
    """The effective number of observations among n rows if rows of one group agree (Kish 1965): n² / Σ sizes².

    Args:
        groups: (n,) equal for rows of one group.

    >>> observations(np.array([1, 2, 3], np.uint64)), observations(np.array([1, 1, 1, 2], np.uint64))
    (3.0, 1.6)
    """
    _, sizes = np.unique(groups, return_counts=True)
    return float(len(groups) ** 2 / (sizes.astype(np.float64) ** 2).sum())
