"""The head on an encoder's vectors: on vectors of meaning, or on the outputs of an encoder that was fine-tuned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.text.head import EncoderHead, OutputHead, SentenceHead, waves
from models.text.sentence import CachedEncoder

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# The head is fitted on at most this many rows, all violating ones included: fitting takes 16 kB per row.
ENCODED_ROWS = 40_000


class Encoded(NamedTuple):
    """What the head is linear in, of n rows.

    Args:
        features: (n, m): random Fourier features of the vectors, or the outputs themselves.
        encoder: version of the encoder.
        centre, scale: (width,) what standardised the vectors; None for outputs, which are taken as they are.
    """

    features: Floats
    encoder: str
    centre: Floats | None = None
    scale: Floats | None = None

    def head(self, weights: Doubles) -> EncoderHead:
        """The head with these (m,) weights."""
        if self.centre is None or self.scale is None:
            return OutputHead(self.encoder, weights.astype(np.float32))
        return SentenceHead(self.encoder, self.centre, self.scale, weights.astype(np.float32))


def encoded(vectors: Floats, encoder: CachedEncoder) -> Encoded:
    """What the head of an encoder is fitted on, from (n, width) vectors."""
    if encoder.learns:
        return Encoded(vectors, encoder.version)
    centre = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.maximum(vectors.std(axis=0, dtype=np.float64), 1e-6).astype(np.float32)
    return Encoded(waves(vectors, centre, scale), encoder.version, centre, scale)


def fit_head(features: Floats, labels: Bools, weights: Doubles, strength: float, seed: int) -> tuple[Doubles, float]:
    """The (m,) weights and the intercept of a logistic regression on (n, m) features.

    Args:
        weights: (n,) weight of each label.
        strength: inverse regularisation strength.
    """
    from sklearn.linear_model import LogisticRegression

    if len(labels) > ENCODED_ROWS:
        order = np.random.default_rng(seed).permutation(len(labels))
        kept = np.sort(order[np.argsort(~labels[order], kind="stable")][:ENCODED_ROWS])
        share = (~labels).sum() / max(1, (~labels[kept]).sum())
        # The rows that are kept represent those that are dropped.
        weights = np.where(labels, 1.0, share)[kept] * weights[kept]
        features, labels = features[kept], labels[kept]
    fitted = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit(features, labels, sample_weight=weights)
    return fitted.coef_[0].astype(np.float64), float(fitted.intercept_[0])
