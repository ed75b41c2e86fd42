"""Named random streams: each part and each day has its own, so drawing more from one does not change the others."""

from __future__ import annotations

import zlib
from random import Random

import numpy as np
from numpy.random import Generator


class Streams:
    """The random streams of one seed. A stream's numbers depend on its name, so renaming one changes the simulation."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def arrays(self, name: str, *at: int) -> Generator:
        """A generator for drawing whole columns."""
        return np.random.default_rng([self._seed, zlib.crc32(name.encode()), *at])

    def single(self, name: str, *at: int) -> Random:
        """A generator for drawing one value at a time, which it does ten times faster than numpy."""
        return Random(int.from_bytes(self.arrays(name, *at).bytes(16), "little"))


def poisson(rng: Random, mean: float) -> int:
    """A Poisson variate, for small means: counts arrivals with exponential gaps (Knuth's method)."""
    count, left = 0, rng.expovariate(1.0)
    while left < mean:
        count += 1
        left += rng.expovariate(1.0)
    return count
