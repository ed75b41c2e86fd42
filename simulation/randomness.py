"""Random numbers by name: each part and each day has its own stream, so that none depends on how much another drew."""

from __future__ import annotations

import random
import zlib

import numpy as np

Arrays = np.random.Generator
Single = random.Random


class Streams:
    """The streams of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def arrays(self, name: str, *at: int) -> Arrays:
        """For drawing whole columns."""
        return np.random.default_rng([self._seed, zlib.crc32(name.encode()), *at])

    def single(self, name: str, *at: int) -> Single:
        """For drawing one thing after the other: ten times faster at that than numpy."""
        return random.Random(int.from_bytes(self.arrays(name, *at).bytes(16), "little"))


def poisson(rng: Single, mean: float) -> int:
    """Knuth's method; for small means."""
    count, left = 0, rng.expovariate(1.0)
    while left < mean:
        count += 1
        left += rng.expovariate(1.0)
    return count
