"""A model on sentence vectors: logistic regression in a random Fourier feature space.

Rahimi and Recht (2007): cos(Wx + b), with W normal and b uniform, spans what a Gaussian kernel sees. Unlike a kernel it
keeps no row that it learned from, and unlike a network it has one optimum.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

WAVES = 4_096
# Of the squared distance between two standardised vectors, divided by their width.
GAMMA = 0.7
_SEED = 1


class SentenceHead(NamedTuple):
    """Args:
    encoder: version of the encoder whose vectors it takes.
    centre, scale: (width,) what standardises a vector.
    weights: (waves,) log-odds by wave.
    """

    encoder: str
    centre: Floats
    scale: Floats
    weights: Floats

    def log_odds(self, vectors: Floats) -> Floats:
        """(n, width) vectors to (n,) log-odds, without an intercept."""
        out: Floats = waves(vectors, self.centre, self.scale, len(self.weights)) @ self.weights
        return out


def waves(vectors: Floats, centre: Floats, scale: Floats, count: int = WAVES) -> Floats:
    """(n, width) vectors to (n, count) random Fourier features, √(2/count)·cos(Wx + b) of the standardised vector."""
    width = vectors.shape[1]
    directions, shifts = _drawn(width, count)
    out = ((vectors - centre) / (scale * np.float32(np.sqrt(width)))) @ directions
    out += shifts
    np.cos(out, out=out)
    out *= np.float32(np.sqrt(2 / count))
    return out


@lru_cache(maxsize=2)
def _drawn(width: int, count: int) -> tuple[Floats, Floats]:
    # The legacy generator's stream is promised never to change, so versions needn't carry what was drawn.
    random = np.random.RandomState(_SEED)
    directions = random.standard_normal((width, count)).astype(np.float32)
    directions *= np.float32(np.sqrt(2 * GAMMA))
    return directions, random.uniform(0, 2 * np.pi, count).astype(np.float32)
