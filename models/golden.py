"""Golden rows: inputs and expected scores that a version carries and must reproduce wherever it is loaded.

Their texts were written for this purpose; none comes from a corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from features.contract import FeatureContract
from leads.errors import ModelRefused

TOLERANCE = 1e-6
# The rounding of another processor adds up over the encoder's six layers.
ENCODER_TOLERANCE = 1e-4
_ROWS = 32
_SEED = 20_240_229
_TEXTS: tuple[str | None, ...] = (
    "I had this on repeat the whole way home, the second verse is wonderful.",
    "Check out my channel and subscribe, free gift cards at www.example.com/win !!!",
    "You are all idiots and nobody wants you here.",
    None,
    "Does anyone know the name of the song at 2:31?",
    "CLICK HERE to make $500 a day from home >>> http://example.org",
    "women should not be allowed to talk about this",
    "这首歌很好听",
    "ｆｒｅｅ   ＭＯＮＥＹ\u200b now",
    "",
    "why would they send those people here, go back to where you came from",
    "🔥🔥🔥",
    "That chord change. Perfect. 10/10",
)

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class Scored(Protocol):
    """See `models.version.Scores`."""

    @property
    def vector(self) -> Floats: ...
    @property
    def margin(self) -> Doubles: ...
    @property
    def score(self) -> Doubles: ...


class Scorer(Protocol):
    """What golden rows need of a `models.version.ModelVersion`, which verifies itself by them."""

    @property
    def contract(self) -> FeatureContract: ...
    @property
    def encodes(self) -> bool: ...
    def score(self, features: Floats, texts: Sequence[str | None]) -> Scored: ...


class GoldenRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """n inputs and their expected outputs. None (null in JSON) stands for NaN."""

    features: tuple[tuple[float | None, ...], ...]
    texts: tuple[str | None, ...]
    vector: tuple[tuple[float | None, ...], ...]
    margin: tuple[float, ...]
    score: tuple[float, ...]

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(raw: bytes) -> GoldenRows:
        """Parse golden rows. Raises ModelRefused if the bytes hold none."""
        try:
            golden = msgspec.json.decode(raw, type=GoldenRows)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"golden.json is invalid: {error}.") from error
        if not golden.score:
            raise ModelRefused("golden.json has no rows, so the version can't be verified.")
        return golden


def make(version: Scorer, sample: Floats) -> GoldenRows:
    """Compute the golden rows of a version.

    Args:
        sample: (any number, k) feature rows to draw values from. A row of zeros and some of NaN are added.
    """
    width = len(version.contract.columns)
    features = np.full((_ROWS, width), np.nan, dtype=np.float32)
    features[1] = 0.0
    rng = np.random.default_rng(_SEED)
    if len(sample):
        # Each column is drawn independently: real values, in combinations that never occurred.
        for j in range(width):
            features[2:-2, j] = rng.choice(sample[:, j], size=_ROWS - 4)
    texts = tuple(_TEXTS[i % len(_TEXTS)] for i in range(_ROWS))
    scores = version.score(features, texts)
    return GoldenRows(
        _nullable(features),
        texts,
        _nullable(scores.vector),
        tuple(scores.margin.tolist()),
        tuple(scores.score.tolist()),
    )


def check(version: Scorer, golden: GoldenRows) -> None:
    """Raises ModelRefused if a golden row's vector or score differs from what the version carries."""
    tolerance = ENCODER_TOLERANCE if version.encodes else TOLERANCE
    try:
        scores = version.score(_floats(golden.features), golden.texts)
        pairs = (("vector", scores.vector, _floats(golden.vector)), ("score", scores.score, np.array(golden.score)))
        for name, ours, expected in pairs:
            if not np.allclose(ours, expected, rtol=tolerance, atol=tolerance, equal_nan=True):
                raise ModelRefused(
                    f"The golden rows' {name} doesn't reproduce.",
                    field="golden.json",
                    remedy="Train the harm again with the code and libraries that serving uses.",
                )
    except ValueError as error:
        raise ModelRefused(f"The golden rows don't fit the version: {error}.", field="golden.json") from error


def _nullable(matrix: Floats) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(None if value != value else value for value in row) for row in matrix.tolist())


def _floats(rows: tuple[tuple[float | None, ...], ...]) -> Floats:
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float32)
