"""Models on an encoder's vectors.

On vectors of meaning: logistic regression on random Fourier features. Rahimi and Recht (2007): cos(Wx + b) with normal
W and uniform b approximates a Gaussian kernel. Unlike a kernel machine it stores no training rows, and unlike a neural
network it has a single optimum.

On the outputs of a fine-tuned encoder, which are log-odds already: logistic regression.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

WAVES = 4_096
# The kernel is exp(-GAMMA · d² / width), with d the distance between two standardised vectors.
GAMMA = 0.7
_SEED = 1


class SentenceHead(NamedTuple):
    """Logistic regression on the random Fourier features of a sentence vector.

    Args:
        encoder: version of the encoder that computes the vectors.
        centre, scale: (width,) mean and scale that standardise a vector.
        weights: (waves,) weight of each random Fourier feature, in log-odds.
    """

    encoder: str
    centre: Floats
    scale: Floats
    weights: Floats

    def log_odds(self, vectors: Floats) -> Floats:
        """(n, width) vectors to (n,) log-odds, without an intercept."""
        out: Floats = waves(vectors, self.centre, self.scale, len(self.weights)) @ self.weights
        return out


class OutputHead(NamedTuple):
    """Logistic regression on the outputs of a fine-tuned encoder.

    Args:
        encoder: version of the encoder.
        weights: (width,) weight of each output.
    """

    encoder: str
    weights: Floats

    def log_odds(self, vectors: Floats) -> Floats:
        """(n, width) outputs to (n,) log-odds, without an intercept."""
        # Not a matrix product, whose sums depend on the number of rows.
        out: Floats = (vectors * self.weights).sum(axis=1)
        return out


EncoderHead = SentenceHead | OutputHead


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
    # NumPy guarantees that the legacy generator's stream never changes, so versions needn't carry these numbers.
    random = np.random.RandomState(_SEED)
    directions = random.standard_normal((width, count)).astype(np.float32)
    directions *= np.float32(np.sqrt(2 * GAMMA))
    return directions, random.uniform(0, 2 * np.pi, count).astype(np.float32)
