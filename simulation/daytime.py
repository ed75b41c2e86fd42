"""Times of day at which people are active."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from leads.clock import DAY, SECOND, Micros
from simulation.timeline import IntArray

# Relative activity by local hour.
_AWAKE = np.array([3, 1.5, 0.8, 0.5, 0.5, 1, 2.5, 5, 6, 5, 4.5, 4.5, 5, 4.5, 4.5, 5, 6, 7, 7, 6.5, 6, 6, 5.5, 4.5])
_ASLEEP = np.array([9, 9, 8, 7, 6, 5, 2, 0.5, 0.2, 0.2, 0.2, 0.2, 0.2, 0.5, 0.5, 0.3, 0.2, 0.2, 0.5, 1, 3, 6, 9, 10])
_OPEN = np.array([0, 0, 0, 0, 0, 0, 0, 1, 3, 5, 6, 6, 6, 6, 6, 6, 6, 6, 5, 3, 1, 0, 0, 0], dtype=float)

AWAKE, ASLEEP, OPEN = (np.cumsum(hours / hours.sum()) for hours in (_AWAKE, _ASLEEP, _OPEN))


def random_times(
    rng: Generator, day_start: Micros, utc_offset_s: npt.NDArray[np.int64], hours: npt.NDArray[np.float64] = AWAKE
) -> IntArray:
    """One time, in µs, within the 24 hours from `day_start` for each entry of `utc_offset_s`.

    Args:
        day_start: µs; need not be midnight.
        utc_offset_s: (n,) seconds by which local time is ahead of UTC.
        hours: (24,) cumulative share of activity by local hour.
    """
    n = len(utc_offset_s)
    hour = np.minimum(np.searchsorted(hours, rng.random(n)), 23)
    local_s = (hour + rng.random(n)) * 3_600
    utc = ((local_s - utc_offset_s) * SECOND).astype(np.int64)
    return day_start + (utc - day_start) % DAY
